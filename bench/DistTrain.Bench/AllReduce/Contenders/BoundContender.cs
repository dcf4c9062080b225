using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>
/// What the memory allows two ranks: both have mapped both buffers; each adds up its half and stores it to both, between two barriers of one flag each, and nothing else: no check, no record, no
/// timeout, no call into C.
/// </summary>
public sealed unsafe class BoundContender : Contender
{
    private const int PageBytes = 4096, FlagStride = 128;
    private readonly RankWorld _world;
    private readonly RegisteredMemory _memory;
    private readonly Tensor _data;
    private readonly float*[] _buffers = new float*[2];
    private readonly long* _flags;
    private readonly long _elements;
    private readonly long[] _ticks;
    private long _turn;

    /// <summary>Allocates; collective.</summary>
    public BoundContender(RankWorld world, long bytes, int mostCalls)
        : base(Turns.Bound)
    {
        ArgumentNullException.ThrowIfNull(world);
        (_world, _elements, _ticks) = (world, bytes / sizeof(float), new long[mostCalls]);
        long room = (bytes + PageBytes - 1) / PageBytes * PageBytes;
        _memory = world.Control.Allocate(world.Device, room + PageBytes);
        _data = _memory.Tensor(new Shape(checked((int)_elements)));
        nint first = world.Transport == "inprocess" ? FirstOfProcess() : _memory.Pointer - (world.Rank * (nint)_memory.ByteCount);
        nint second = world.Transport == "inprocess" ? (nint)world.Agree(world.Rank == 1 ? _memory.Pointer : 0, ReduceOp.Max) : first + (nint)_memory.ByteCount;
        _buffers[0] = (float*)first;
        _buffers[1] = (float*)second;
        _flags = (long*)(first + (nint)room);
        CheckThatBothAreMapped();
    }

    /// <summary>Whether it says anything of a case: sums of two ranks that can map each other's memory and each have a core.</summary>
    public static bool Applies(RankWorld world, CollectiveShape shape, long bytes)
    {
        ArgumentNullException.ThrowIfNull(world);
        ArgumentNullException.ThrowIfNull(shape);
        return world.WorldSize == 2 && RankThread.MachineCoreCount >= 2 && shape.Verb == CollectiveVerb.AllReduce && world.Transport is "shm" or "inprocess" && bytes % (2 * sizeof(float)) == 0;
    }

    /// <inheritdoc/>
    // Optimised from the first call on: the counters by which the runtime watches a young method are shared by the ranks of one process, and would cost more than the call.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override double? Take(int calls, int warmCalls)
    {
        // Asleep until the other is there: it may have a peer's turn to wait for.
        _world.Control.Barrier(_world.Stream);
        float written = 0;
        // Not a field: two ranks' objects in one process lie side by side, and would take each other's cache line at every turn.
        long turn = _turn;
        for (int call = -warmCalls; call < calls; call++)
        {
            written = _world.Rank + call + 1;
            new Span<float>(_buffers[_world.Rank], (int)_elements).Fill(written);
            Meet(ref turn);
            long start = Stopwatch.GetTimestamp();
            Meet(ref turn);
            AddHalf();
            Meet(ref turn);
            if (call >= 0) _ticks[call] = Stopwatch.GetTimestamp() - start;
        }
        _turn = turn;
        float sum = (2 * calls) + 1;
        WrongCount += (long)_world.Agree(new ReadOnlySpan<float>(_buffers[_world.Rank], (int)_elements).ContainsAnyExcept(sum) ? 1 : 0, ReduceOp.Sum);
        return Slowest(_world, Typical(_ticks, calls, isCrowded: false));
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _data.Dispose();
        _memory.Dispose();
        base.Dispose();
    }

    // The addresses as numbers: exact in f64, as addresses of programs have 47 bits.
    private nint FirstOfProcess() => (nint)_world.Agree(_world.Rank == 0 ? _memory.Pointer : 0, ReduceOp.Max);

    private void CheckThatBothAreMapped()
    {
        _buffers[_world.Rank][0] = _world.Rank + 1;
        _world.Control.Barrier(_world.Stream);
        bool isMapped = _buffers[0][0] == 1 && _buffers[1][0] == 2;
        if (_world.Agree(isMapped ? 0 : 1, ReduceOp.Max) != 0) throw new InvalidOperationException("the bound expects the ranks' registered memory side by side in one mapping, and it is not so");
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Meet(ref long turn)
    {
        turn++;
        Volatile.Write(ref _flags[_world.Rank * (FlagStride / sizeof(long))], turn);
        ref long other = ref _flags[(1 - _world.Rank) * (FlagStride / sizeof(long))];
        while (Volatile.Read(ref other) < turn)
            if (X86Base.IsSupported) X86Base.Pause();
            else Thread.SpinWait(1);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddHalf()
    {
        long half = _elements / 2, i = 0;
        float* a = _buffers[0] + (_world.Rank * half), b = _buffers[1] + (_world.Rank * half);
        if (Vector512.IsHardwareAccelerated)
        {
            for (; i + Vector512<float>.Count <= half; i += Vector512<float>.Count)
            {
                Vector512<float> sum = Vector512.Load(a + i) + Vector512.Load(b + i);
                sum.Store(a + i);
                sum.Store(b + i);
            }
        }
        for (; i + Vector256<float>.Count <= half; i += Vector256<float>.Count)
        {
            Vector256<float> sum = Vector256.Load(a + i) + Vector256.Load(b + i);
            sum.Store(a + i);
            sum.Store(b + i);
        }
        for (; i < half; i++) a[i] = b[i] = a[i] + b[i];
    }
}
