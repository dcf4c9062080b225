namespace DistTrain.Runtime;

/// <summary>What a forward pass is for.</summary>
public enum TapeMode
{
    /// <summary>Functions are recorded for the backward pass, dropout drops, batch norm uses the batch's statistics.</summary>
    Training,

    /// <summary>Nothing is recorded, dropout passes its input on, batch norm uses the running statistics.</summary>
    Evaluation,
}
