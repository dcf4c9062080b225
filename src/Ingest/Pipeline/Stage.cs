using System.Diagnostics;

namespace DistTrain.Ingest;

/// <summary>
/// One operator that works in the background: what is measured of it, and the two numbers that may be changed while it runs. Measurements are written under the
/// operator's own lock and read without one: a torn pair of numbers does no harm here.
/// </summary>
internal sealed class Stage
{
    // The newest value's weight in moving averages, as in tf.data's model.
    private const double NewestWeight = 0.1;

    private int _parallelism, _bufferSize;

    internal Stage(string name, Parallelism parallelism, BufferSize bufferSize, int maxParallelism)
    {
        Name = name;
        IsParallelismAuto = parallelism.IsAuto;
        IsBufferAuto = bufferSize.IsAuto;
        MaxParallelism = maxParallelism;
        _parallelism = parallelism.Initial;
        _bufferSize = bufferSize.Initial;
    }

    internal string Name { get; }

    internal bool IsParallelismAuto { get; }

    internal bool IsBufferAuto { get; }

    /// <summary>More threads can't help: the operator has no more work to give out at a time.</summary>
    internal int MaxParallelism { get; }

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

    /// <summary>How often the consumer asked, and how often it had to wait.</summary>
    internal long RequestCount { get; set; }

    /// <inheritdoc cref="RequestCount"/>
    internal long WaitCount { get; set; }

    /// <summary>How long the consumer waited in all, in <see cref="Stopwatch"/> ticks.</summary>
    internal long WaitTicks { get; set; }

    /// <summary>Elements ready now.</summary>
    internal int Buffered { get; set; }

    internal void RecordWork(double serialTicks, double parallelTicks, double elementBytes)
    {
        SerialTicks = Average(SerialTicks, serialTicks);
        ParallelTicks = Average(ParallelTicks, parallelTicks);
        ElementBytes = Average(ElementBytes, elementBytes);
    }

    private static double Average(double old, double newest) => old == 0 ? newest : old + (NewestWeight * (newest - old));
}
