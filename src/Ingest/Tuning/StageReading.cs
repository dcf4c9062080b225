namespace DistTrain.Ingest;

/// <summary>What the tuner knows of one stage: settings now, and times per element that the consumer takes. Times are in seconds.</summary>
/// <param name="Name">The operator.</param>
/// <param name="Parallelism">Threads.</param>
/// <param name="MinParallelism">What was found to be too few before, plus one: the tuner does not go below.</param>
/// <param name="MaxParallelism">The most that may help.</param>
/// <param name="IsParallelismAuto">Whether the tuner may change the threads.</param>
/// <param name="BufferSize">Elements that may be ready.</param>
/// <param name="BufferPerThread">Elements held for each thread, at least.</param>
/// <param name="IsBufferAuto">Whether the tuner may change the buffer.</param>
/// <param name="Serial">Time that one thread at a time needs.</param>
/// <param name="Parallel">Time that threads share.</param>
/// <param name="ElementBytes">Bytes of one of the stage's elements.</param>
/// <param name="WaitShare">The share of the time that the stage's consumer has waited for it lately, 0 to 1.</param>
/// <param name="IdleLooks">Looks in a row at which fewer threads would have done.</param>
internal readonly record struct StageReading(string Name, int Parallelism, int MinParallelism, int MaxParallelism, bool IsParallelismAuto, int BufferSize, int BufferPerThread, bool IsBufferAuto,
    double Serial, double Parallel, double ElementBytes, double WaitShare, int IdleLooks)
{
    /// <summary>How long the stage takes for one element of the consumer's with a number of threads: input is taken by one at a time.</summary>
    internal double TimeWith(int threads) => Math.Max(Serial, (Serial + Parallel) / threads);

    /// <summary>How long the stage takes now.</summary>
    internal double Time => TimeWith(Parallelism);

    /// <summary>The most bytes it may hold.</summary>
    internal double MaxBytes => Math.Max(BufferSize, BufferPerThread * Parallelism) * ElementBytes;
}
