namespace DistTrain.Bench;

/// <summary>The stages of the course's picture.</summary>
public enum StageKind
{
    /// <summary>Opening a file.</summary>
    Open,

    /// <summary>Reading an element.</summary>
    Read,

    /// <summary>Transforming an element.</summary>
    Map,

    /// <summary>A step of training on an element.</summary>
    Train,
}

/// <summary>One piece of work, in seconds since the run began.</summary>
public readonly record struct Span(StageKind Stage, double Start, double End);
