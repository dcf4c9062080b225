using System.Diagnostics;

namespace DistTrain.Runtime;

/// <summary>A worker's place at a <see cref="ParameterStore"/>. What it holds is guarded by the store's lock.</summary>
internal sealed class ParameterSession(ParameterStore store, string worker, VariableLayout layout) : IParameterSession
{
    private string? _expelled;
    private long _heardAt = Stopwatch.GetTimestamp();

    public VariableLayout Layout => layout;

    internal string Worker => worker;

    /// <summary>The step it works on.</summary>
    internal long? TakenStep { get; private set; }

    /// <summary>The version that its step is computed with; null: it has not pulled one yet.</summary>
    internal long? BaseVersion { get; private set; }

    /// <summary>Whether it came with the worker's session before, and was not asked for in this one.</summary>
    internal bool IsStepInherited { get; private set; }

    /// <summary>Whether it was ended because nothing was heard of its step: its worker may open another one.</summary>
    internal bool WasGivenUp { get; private set; }

    /// <summary>Whether it waits for others.</summary>
    internal bool IsWaiting { get; set; }

    public ValueTask<bool> InitializeAsync(ReadOnlyMemory<float> values, CancellationToken cancellation = default)
    {
        CheckLength(values.Length);
        return new ValueTask<bool>(store.Initialize(this, values.Span));
    }

    public ValueTask<long> TakeStepAsync(long stepCount, CancellationToken cancellation = default) => store.TakeStepAsync(this, stepCount, cancellation);

    public ValueTask<long> PullAsync(Memory<float> values, long newerThan = -1, CancellationToken cancellation = default)
    {
        CheckLength(values.Length);
        return store.PullAsync(this, values, newerThan, cancellation);
    }

    public ValueTask<PushResult> PushAsync(GradientPush push, CancellationToken cancellation = default)
    {
        CheckLength(push.Values.Length);
        return new ValueTask<PushResult>(store.Push(this, push));
    }

    public ValueTask<ParameterServerStatistics> ReadStatisticsAsync(CancellationToken cancellation = default) => new(store.Statistics);

    public void Dispose() => store.Leave(this);

    internal void CheckAlive()
    {
        if (_expelled is { } reason) throw new ParameterServerException($"{reason}; open another session to take part again");
        _heardAt = Stopwatch.GetTimestamp();
    }

    internal void OnTaken(long step) => (TakenStep, BaseVersion, IsStepInherited) = (step, null, false);

    internal void OnPulled(long version) => BaseVersion = version;

    internal void OnFinished() => TakenStep = null;

    /// <summary>Takes over what the worker's session before was at.</summary>
    internal void Inherit(ParameterSession old)
    {
        (TakenStep, BaseVersion, IsStepInherited) = (old.TakenStep, old.BaseVersion, old.TakenStep is not null);
        old.OnFinished();
    }

    internal bool IsSilentFor(TimeSpan time) => TakenStep is not null && !IsWaiting && Stopwatch.GetElapsedTime(_heardAt) > time;

    internal void Expel(string reason) => _expelled ??= reason;

    internal void GiveUp(string reason)
    {
        Expel(reason);
        WasGivenUp = true;
    }

    private void CheckLength(int length)
    {
        if (length != layout.ElementCount) throw new ArgumentException($"a vector of {length:N0} elements, the server's variables have {layout.ElementCount:N0}");
    }
}
