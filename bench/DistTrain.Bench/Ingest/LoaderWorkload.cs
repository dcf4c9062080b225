using System.Runtime.CompilerServices;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>Takes the next batch of elements that lie in memory, in order, endlessly; a call is a batch.</summary>
public sealed class LoaderWorkload<T> : Workload
    where T : unmanaged
{
    private readonly DatasetIterator<ElementBatch<T>> _run;

    /// <param name="device">Not used: batches are assembled on the host.</param>
    /// <param name="batchSize">Elements of a batch.</param>
    public LoaderWorkload(ComputeDevice device, int batchSize)
        : base(device) => _run = Dataset.FromList(LoaderElements.Make<T>()).Repeat().Batch(batchSize).Iterate();

    /// <inheritdoc/>
    public override void Run()
    {
        if (!_run.TryNext(out ElementBatch<T>? batch)) throw new InvalidOperationException("the data set ended");
        batch.Dispose();
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _run.Dispose();
        base.Dispose();
    }
}

/// <summary>Copies the next batch's bytes out of elements that lie in memory.</summary>
public sealed class LoaderCopyWorkload<T>(ComputeDevice device, int batchSize) : Workload(device)
    where T : unmanaged
{
    private readonly T[] _elements = LoaderElements.Make<T>(), _batch = GC.AllocateUninitializedArray<T>(batchSize, pinned: true);
    private int _next;

    /// <inheritdoc/>
    public override void Run()
    {
        if (_next + _batch.Length > _elements.Length) _next = 0;
        _elements.AsSpan(_next, _batch.Length).CopyTo(_batch);
        _next += _batch.Length;
    }
}

/// <summary>Data of <see cref="LoaderWorkload{T}"/> and of the peers' <c>loader</c>: 64 MiB, or 65,536 elements if that is more.</summary>
public static class LoaderElements
{
    /// <summary>An image of 32 x 32 pixels in three colours.</summary>
    [InlineArray(3072)]
    public struct Image
    {
        private byte _first;
    }

    /// <summary>Small elements, where elements cost, and images, where bytes do.</summary>
    public static IEnumerable<BenchCase> Cases() =>
    [
        Case<UInt128>(256, Measure.NanosecondsPerElement, 256),
        Case<Image>(256, Measure.GigabytesPerSecond, 2.0 * 256 * Unsafe.SizeOf<Image>()),
    ];

    internal static T[] Make<T>()
        where T : unmanaged
    {
        T[] elements = GC.AllocateUninitializedArray<T>(Math.Max(1 << 16, (64 << 20) / Unsafe.SizeOf<T>()), pinned: true);
        new Random(1).NextBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(elements.AsSpan()));
        return elements;
    }

    private static BenchCase Case<T>(int batchSize, Measure measure, double work)
        where T : unmanaged => new("ingest", $"element batch of {batchSize}, {Unsafe.SizeOf<T>()} bytes each", measure, work, $"loader {Unsafe.SizeOf<T>()} {batchSize}", device => new LoaderWorkload<T>(device, batchSize))
        {
            ThreadCount = 1,
            OwnLimit = device => new LoaderCopyWorkload<T>(device, batchSize),
        };
}
