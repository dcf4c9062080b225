using DistTrain.Runtime;

namespace DistTrain.ParameterServer;

/// <summary>A store as connections use it: on its own thread, each push once, whatever became of its answer.</summary>
internal sealed class ServedStore(ParameterStore store, ConnectionTable connections, int keptPushCount) : IDisposable
{
    private readonly StoreThread _thread = new("parameter store");
    private readonly Dictionary<string, (Guid Session, long Number, PushResult Result)> _lastPushes = [];

    /// <summary>This start of the server.</summary>
    internal Guid Instance { get; } = Guid.NewGuid();

    internal VectorPool Vectors { get; } = new();

    internal Task<(ParameterSession Session, bool HasValues)> OpenAsync(OpenMessage open) => _thread.RunAsync(async () =>
    {
        ParameterSession session = (ParameterSession)await store.OpenAsync(open.Worker, open.Layout).ConfigureAwait(false);
        return (session, store.HasValues);
    });

    internal Task<T> RunAsync<T>(Func<ValueTask<T>> call) => _thread.RunAsync(call);

    /// <summary>A push, or what it came to when it was here before: a worker whose connection broke asks again.</summary>
    internal ValueTask<PushResult> Push(ParameterSession session, OpenMessage open, long number, in GradientPush push)
    {
        if (_lastPushes.TryGetValue(open.Worker, out var last) && last.Session == open.Session && last.Number == number) return new ValueTask<PushResult>(last.Result);
        PushResult result = store.Push(session, push);
        if (_lastPushes.Count >= keptPushCount)
        {
            foreach (string worker in _lastPushes.Keys.Where(worker => !connections.IsHere(worker)).ToArray()) _lastPushes.Remove(worker);
        }
        _lastPushes[open.Worker] = (open.Session, number, result);
        return new ValueTask<PushResult>(result);
    }

    /// <summary>Has a worker leave.</summary>
    internal async Task LeaveAsync(ParameterSession session)
    {
        try
        {
            await _thread.RunAsync(() =>
            {
                session.Dispose();
                return new ValueTask<bool>(true);
            }).ConfigureAwait(false);
        }
        catch (ObjectDisposedException)
        {
            session.Dispose();
        }
    }

    public void Dispose() => _thread.Dispose();
}
