using System.Numerics;
using System.Runtime.InteropServices;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>What one rank sends and where the result comes, in registered or in ordinary memory; writes what is sent and checks what came.</summary>
public sealed class CollectiveBuffers : IDisposable
{
    private readonly CollectiveShape _shape;
    private readonly int _rank, _ranks;
    private readonly long _bytes;
    private readonly RegisteredMemory? _registered;

    /// <summary>Allocates; collective where the memory is registered.</summary>
    public CollectiveBuffers(ICommunicator communicator, ExecutionStream stream, CollectiveShape shape, long bytes, bool isRegistered)
    {
        ArgumentNullException.ThrowIfNull(communicator);
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(shape);
        (_shape, _bytes, _rank, _ranks) = (shape, bytes, communicator.Rank, communicator.WorldSize);
        int sends = checked((int)shape.SendCount(bytes, _ranks)), receives = checked((int)shape.ReceiveCount(bytes, _ranks));
        if (isRegistered)
        {
            const long Page = 4096;
            long room = ((sends * sizeof(float)) + Page - 1) / Page * Page;
            _registered = communicator.Allocate(stream.Device, room + (receives * (long)sizeof(float)));
            Send = _registered.Tensor(new Shape(sends));
            Receive = receives == 0 ? Send : _registered.Tensor(new Shape(receives), offsetByteCount: room);
        }
        else
        {
            Send = Tensor.Zeros(stream, new Shape(sends));
            Receive = receives == 0 ? Send : Tensor.Zeros(stream, new Shape(receives));
        }
    }

    /// <summary>What is sent.</summary>
    public Tensor Send { get; }

    /// <summary>Where the result comes; may be the same.</summary>
    public Tensor Receive { get; }

    /// <summary>Writes the whole of what is sent: a number that tells rank and call.</summary>
    public void Write(int call) => Span(Send).Fill(Written(_rank, call));

    /// <summary>Writes what differs from element to element and from rank to rank; all sums are exact in f32.</summary>
    public void WritePattern()
    {
        Span<float> data = Span(Send);
        for (int i = 0; i < data.Length; i++) data[i] = Pattern(_rank, i);
    }

    /// <summary>Elements of the result that are not what call number <paramref name="call"/> had to leave.</summary>
    public long CountWrong(int call)
    {
        long wrong = 0;
        foreach ((long offset, long count, int source, _) in _shape.Expected(_rank, _ranks, _bytes))
            wrong += CountOthers(Span(Receive).Slice((int)offset, (int)count), source < 0 ? Enumerable.Range(0, _ranks).Sum(rank => Written(rank, call)) : Written(source, call));
        return wrong;
    }

    /// <summary>Elements of the result that are not what the pattern had to become.</summary>
    public long CountWrongOfPattern()
    {
        long wrong = 0;
        foreach ((long offset, long count, int source, long sourceOffset) in _shape.Expected(_rank, _ranks, _bytes))
        {
            Span<float> data = Span(Receive).Slice((int)offset, (int)count);
            for (int i = 0; i < data.Length; i++)
            {
                float expected = 0;
                if (source >= 0) expected = Pattern(source, sourceOffset + i);
                else
                    for (int rank = 0; rank < _ranks; rank++) expected += Pattern(rank, sourceOffset + i);
                if (data[i] != expected) wrong++;
            }
        }
        return wrong;
    }

    /// <summary>Frees; collective where the memory is registered.</summary>
    public void Dispose()
    {
        if (Receive != Send) Receive.Dispose();
        Send.Dispose();
        _registered?.Dispose();
    }

    private static float Written(int rank, int call) => rank + call + 1;

    private static float Pattern(int rank, long index) => ((index * 31) + (rank * 517)) & 1023;

    private static long CountOthers(ReadOnlySpan<float> data, float expected)
    {
        Vector<int> equal = Vector<int>.Zero;
        long same = 0;
        ReadOnlySpan<Vector<float>> vectors = MemoryMarshal.Cast<float, Vector<float>>(data);
        // Equal lanes are -1 each; a lane can't overflow within 2^31 vectors.
        foreach (Vector<float> vector in vectors) equal += Vector.Equals(vector, new Vector<float>(expected));
        for (int lane = 0; lane < Vector<int>.Count; lane++) same -= equal[lane];
        foreach (float element in data[(vectors.Length * Vector<float>.Count)..])
            if (element == expected) same++;
        return data.Length - same;
    }

    private static unsafe Span<float> Span(Tensor tensor) => new((void*)tensor.Pointer, checked((int)tensor.ElementCount));
}
