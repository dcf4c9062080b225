using System.Globalization;

namespace DistTrain.Bench;

/// <summary>A peer's training of the same network with as many threads and as many samples a step, in its own process.</summary>
public sealed class PeerTrainee(PeerProcess peer, string model, int samplesPerStep, int threads) : Trainee(peer?.Name ?? "", 1, samplesPerStep)
{
    private const int MillisecondsPerStep = 40;
    private readonly int _samplesPerStep = samplesPerStep;

    /// <summary>Its threads.</summary>
    public int Threads => threads;

    /// <inheritdoc/>
    public override void Dispose() => peer.Dispose();

    /// <inheritdoc/>
    protected override Pace Run(int stepCount)
    {
        string question = string.Create(CultureInfo.InvariantCulture, $"train-step {model} {_samplesPerStep}");
        double seconds = peer.SecondsPerCall(question, stepCount * MillisecondsPerStep, out string? reason) ?? throw new IOException($"{peer.Name}: {question}: {reason}");
        return PaceOf(1, seconds);
    }
}
