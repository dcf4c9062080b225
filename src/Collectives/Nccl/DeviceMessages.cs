using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>Messages between ranks in device memory, enqueued on a stream. What kernels do afterwards on the same stream comes behind them.</summary>
internal sealed class DeviceMessages(ShimTransport transport)
{
    private HostTransfer[] _messages = new HostTransfer[8];
    private int _count;

    internal int Rank => transport.Rank;

    internal int WorldSize => transport.WorldSize;

    internal void Send(int peer, Tensor tensor) => Add(CollectiveVerb.Send, peer, tensor);

    internal void Receive(int peer, Tensor tensor) => Add(CollectiveVerb.Receive, peer, tensor);

    /// <summary>Enqueues what was added, all at once.</summary>
    internal void Exchange(ExecutionStream stream)
    {
        if (_count == 0) return;
        int count = _count;
        _count = 0;
        transport.SetStream(stream.NativeHandle);
        transport.Exchange(_messages.AsSpan(0, count));
        // A device whose kernels run at once has no stream that they could come behind.
        if (stream.Device.Kind == DeviceKind.Cpu) transport.Synchronize();
    }

    /// <summary>Forgets what was added and not enqueued.</summary>
    internal void Clear() => _count = 0;

    private void Add(CollectiveVerb verb, int peer, Tensor tensor)
    {
        if (tensor.ElementCount == 0) return;
        if (_count == _messages.Length) Array.Resize(ref _messages, 2 * _count);
        _messages[_count++] = new HostTransfer(verb, peer, tensor.DType, default, tensor.Pointer, tensor.ElementCount);
    }
}
