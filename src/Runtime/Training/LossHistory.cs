using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The losses of the steps since the last reading, kept on the device so that reading does not stall every step.</summary>
internal sealed class LossHistory : IDisposable
{
    private readonly Tensor _losses;
    private readonly Tensor[] _places;
    private readonly float[] _host;
    private readonly double[] _weights;

    public LossHistory(ExecutionStream stream, int capacity)
    {
        _losses = Tensor.Zeros(stream, new Shape(capacity));
        _places = [.. Enumerable.Range(0, capacity).Select(PlaceOf)];
        _host = new float[capacity];
        _weights = new double[capacity];
    }

    /// <summary>Steps kept.</summary>
    public int Count { get; private set; }

    public bool IsFull => Count == _places.Length;

    public void Add(ExecutionStream stream, Tensor loss, double weight)
    {
        loss.CopyTo(stream, _places[Count]);
        _weights[Count++] = weight;
    }

    /// <summary>Waits for the device and gives the losses, oldest first, with the weight of each; then starts anew. Valid until the next reading.</summary>
    public (ReadOnlyMemory<float> Losses, ReadOnlyMemory<double> Weights) Take(ExecutionStream stream)
    {
        _losses.CopyTo<float>(stream, _host);
        int count = Count;
        Count = 0;
        return (_host.AsMemory(0, count), _weights.AsMemory(0, count));
    }

    public void Dispose()
    {
        foreach (Tensor place in _places) place.Dispose();
        _losses.Dispose();
    }

    private Tensor PlaceOf(int index)
    {
        using Tensor slice = _losses.Slice(index, 1);
        return slice.Reshape(default);
    }
}
