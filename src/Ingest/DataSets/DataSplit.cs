namespace DistTrain.Ingest;

/// <summary>The parts of a data set.</summary>
public enum DataSplit
{
    /// <summary>What models are trained on.</summary>
    Train,

    /// <summary>What they are judged by, and never trained on.</summary>
    Test,
}
