namespace DistTrain.Bench;

/// <summary>What a case's number says: how it follows from the work of a call and the seconds that a call takes.</summary>
public enum Measure
{
    /// <summary>10^9 floating-point operations a second; work is in operations.</summary>
    GigaflopsPerSecond,

    /// <summary>10^9 bytes a second, read and written; work is in bytes.</summary>
    GigabytesPerSecond,

    /// <summary>Microseconds a call, whatever the work.</summary>
    Microseconds,

    /// <summary>Samples trained on in a second; work is the batch.</summary>
    SamplesPerSecond,

    /// <summary>Nanoseconds an element; work is the elements.</summary>
    NanosecondsPerElement,

    /// <summary>10^6 bytes a second that arrive; work is in bytes.</summary>
    MegabytesPerSecond,

    /// <summary>Milliseconds a step; work is the steps.</summary>
    MillisecondsPerStep,
}

/// <summary>Units and values of measures.</summary>
public static class Measures
{
    /// <summary>The unit as rows have it.</summary>
    public static string Unit(this Measure measure) => measure switch
    {
        Measure.GigaflopsPerSecond => "GFLOP/s",
        Measure.GigabytesPerSecond => "GB/s",
        Measure.Microseconds => "us",
        Measure.NanosecondsPerElement => "ns",
        Measure.MegabytesPerSecond => "MB/s",
        Measure.MillisecondsPerStep => "ms/step",
        _ => "samples/s",
    };

    /// <summary><c>higher</c> or <c>lower</c>.</summary>
    public static string Better(this Measure measure) => measure is Measure.Microseconds or Measure.NanosecondsPerElement or Measure.MillisecondsPerStep ? "lower" : "higher";

    /// <summary>The number of a call that does <paramref name="work"/> in <paramref name="seconds"/>.</summary>
    public static double Value(this Measure measure, double work, double seconds) => measure switch
    {
        Measure.Microseconds => seconds * 1e6,
        Measure.NanosecondsPerElement => seconds / work * 1e9,
        Measure.MegabytesPerSecond => work / seconds / 1e6,
        Measure.MillisecondsPerStep => seconds / work * 1e3,
        Measure.SamplesPerSecond => work / seconds,
        _ => work / seconds / 1e9,
    };
}
