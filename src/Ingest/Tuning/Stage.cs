using System.Diagnostics;

namespace DistTrain.Ingest;

/// <summary>
/// One operator that works in the background: what is measured of it, and the two numbers that may be changed while it runs. Written by the operator's threads under
/// its lock, read by others without one: a torn pair of numbers does no harm here.
/// </summary>
internal sealed class Stage(string name, Parallelism parallelism, BufferSize bufferSize, int maxParallelism)
{
    // The newest value's weight in moving averages, as in tf.data's model.
    private const double NewestWeight = 0.1;

    private readonly Lock _averaging = new();
    private int _parallelism = parallelism.Initial, _bufferSize = bufferSize.Initial;
    private long _waitTicks;

    internal string Name => name;

    internal bool IsParallelismAuto => parallelism.IsAuto;

    internal bool IsBufferAuto => bufferSize.IsAuto;

    /// <summary>More threads can't help: the operator has no more work to give out at a time.</summary>
    internal int MaxParallelism => maxParallelism;

    /// <summary>Elements held for each thread, at least.</summary>
    internal int BufferPerThread { get; init; } = 1;

    /// <summary>Whether elements differ from epoch to epoch, so that a cache behind this stage would change the data.</summary>
    internal bool IsRandom { get; init; }

    /// <summary>Elements of one epoch, where that is known.</summary>
    internal Cardinality EpochElements { get; init; }

    /// <summary>The stage that this one is a part of: it gets this one's measurements as work that goes on side by side.</summary>
    internal Stage? Whole { get; init; }

    /// <summary>Threads that work.</summary>
    internal int Parallelism
    {
        get => Volatile.Read(ref _parallelism);
        set
        {
            Volatile.Write(ref _parallelism, value);
            Changed?.Invoke();
        }
    }

    /// <summary>Elements that may be ready or in work.</summary>
    internal int BufferSize
    {
        get => Volatile.Read(ref _bufferSize);
        set
        {
            Volatile.Write(ref _bufferSize, value);
            Changed?.Invoke();
        }
    }

    /// <summary>Called after a setting has changed; must not block.</summary>
    internal Action? Changed { get; set; }

    /// <summary>Elements that came out.</summary>
    internal long ElementCount { get; set; }

    /// <summary>Moving average of the time that taking one input costs, waiting for other stages left out; one thread does it at a time.</summary>
    internal double SerialTicks { get; private set; }

    /// <summary>Moving average of the time that the work on one element costs; threads do it side by side.</summary>
    internal double ParallelTicks { get; private set; }

    /// <summary>Moving average of an element's bytes.</summary>
    internal double ElementBytes { get; private set; }

    /// <summary>How long the consumer waited in all, in <see cref="Stopwatch"/> ticks.</summary>
    internal long WaitTicks => Interlocked.Read(ref _waitTicks);

    /// <summary>Elements ready now.</summary>
    internal int Buffered { get; set; }

    internal void RecordWork(double serialTicks, double parallelTicks, double elementBytes)
    {
        lock (_averaging)
        {
            SerialTicks = Average(SerialTicks, serialTicks);
            ParallelTicks = Average(ParallelTicks, parallelTicks);
            ElementBytes = Average(ElementBytes, elementBytes);
        }
        Whole?.RecordWork(0, serialTicks + parallelTicks, elementBytes);
    }

    internal void RecordWait(long ticks)
    {
        Interlocked.Add(ref _waitTicks, ticks);
        Whole?.RecordWait(ticks);
    }

    private static double Average(double old, double newest) => old == 0 ? newest : old + (NewestWeight * (newest - old));
}
