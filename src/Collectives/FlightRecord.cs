namespace DistTrain.Collectives;

/// <summary>How far a recorded call is.</summary>
public enum FlightState
{
    /// <summary>Under way.</summary>
    Entered = 1,

    /// <summary>Done.</summary>
    Done = 2,

    /// <summary>It failed.</summary>
    Failed = 3,
}

/// <summary>One of the last calls of a rank: what to look at when a job hangs or breaks.</summary>
/// <param name="Call">What was called.</param>
/// <param name="State">How far it is.</param>
/// <param name="Age">How long ago it began.</param>
/// <param name="Duration">How long it took; zero while it is under way.</param>
public readonly record struct FlightRecord(CollectiveCall Call, FlightState State, TimeSpan Age, TimeSpan Duration)
{
    /// <summary>For people, one line.</summary>
    public override string ToString() =>
        $"{Call}, {(State == FlightState.Entered ? "under way" : State == FlightState.Done ? "done" : "failed")}, began {Age.TotalMilliseconds:0.000} ms ago, took {Duration.TotalMicroseconds:0.0} us";
}
