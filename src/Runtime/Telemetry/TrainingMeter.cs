using System.Diagnostics.Metrics;

namespace DistTrain.Runtime;

/// <summary>The meter <c>DistTrain</c>: counts here, times by <see cref="MeasuredActivity"/>. Every value of a strategy's replica has the tag <c>replica</c>, its number.</summary>
internal static class TrainingMeter
{
    internal const string Name = "DistTrain", Prefix = "disttrain.", ReplicaTag = "replica";

    internal static Meter Meter { get; } = new(Name, typeof(TrainingMeter).Assembly.GetName().Version!.ToString(3));

    private static readonly Counter<long> s_steps = Meter.CreateCounter<long>($"{Prefix}steps", "{step}", "Steps that this replica has made.");
    private static readonly Counter<long> s_samples = Meter.CreateCounter<long>($"{Prefix}samples", "{sample}", "Samples that this replica has computed gradients of.");

    private static readonly Gauge<double> s_lossScale = Meter.CreateGauge<double>($"{Prefix}loss_scale", description: "What losses are multiplied by in backward passes in f16; 1 without.");

    internal static void CountStep(int samples, double lossScale)
    {
        if (!s_steps.Enabled && !s_samples.Enabled && !s_lossScale.Enabled) return;
        ReadOnlySpan<KeyValuePair<string, object?>> tags = Replica.Current is { } replica ? [replica.Tag] : [];
        s_steps.Add(1, tags);
        s_samples.Add(samples, tags);
        s_lossScale.Record(lossScale, tags);
    }
}
