namespace DistTrain.Runtime;

/// <summary>
/// A global batch for a group whose number of workers changes: one that as many counts as possible can divide into equal whole micro-batches, so that the training is the same whoever is there.
/// Pure arithmetic, after the rule of DeepSpeed's elastic training. Immutable.
/// </summary>
/// <remarks>
/// Candidates are each micro-batch size, and their least common multiple, times the largest highly composite number (one with more divisors than any smaller) that stays within the largest batch,
/// and the largest multiple that does: such numbers divide in the most ways. The one that most counts of the range divide wins, of equals the larger batch.
/// </remarks>
public sealed class ElasticBatchPlan
{
    private const int LargestPossible = 1 << 24, MostWorkers = 1 << 16, MostMicroBatches = 64;
    private readonly int[] _microBatches;

    private ElasticBatchPlan(int globalBatch, int[] microBatches, int minWorkers, int maxWorkers)
    {
        (GlobalBatch, _microBatches) = (globalBatch, microBatches);
        WorkerCounts = [.. Enumerable.Range(minWorkers, maxWorkers - minWorkers + 1).Where(Divides)];
    }

    /// <summary>Samples of one optimizer step over all workers.</summary>
    public int GlobalBatch { get; }

    /// <summary>The counts of workers of the range that can share the global batch, ascending.</summary>
    public IReadOnlyList<int> WorkerCounts { get; }

    /// <summary>Chooses the global batch.</summary>
    /// <param name="largestBatch">Samples that one step may have at most, 1 to 16,777,216.</param>
    /// <param name="microBatches">Samples that one worker may take at once: 1 to 64 different sizes.</param>
    /// <param name="minWorkers">The fewest workers, 1 or more.</param>
    /// <param name="maxWorkers">The most workers, up to 65,536.</param>
    /// <exception cref="ArgumentException">No batch within the largest can be shared by any count of the range, or a number is out of its range.</exception>
    public static ElasticBatchPlan Choose(int largestBatch, IReadOnlyCollection<int> microBatches, int minWorkers, int maxWorkers)
    {
        Check(largestBatch, microBatches, minWorkers, maxWorkers);
        int[] sizes = [.. microBatches.Distinct().Order()];
        ElasticBatchPlan? best = null;
        foreach (int batch in Candidates(largestBatch, sizes).Distinct().OrderDescending())
        {
            var plan = new ElasticBatchPlan(batch, sizes, minWorkers, maxWorkers);
            if (plan.WorkerCounts.Count > (best?.WorkerCounts.Count ?? 0)) best = plan;
        }
        return best ?? throw new ArgumentException(
            $"no batch of at most {largestBatch} samples can be shared by {minWorkers} to {maxWorkers} workers in micro-batches of {string.Join(", ", sizes)}: "
            + $"{minWorkers} workers need at least {(long)minWorkers * sizes[0]}; raise the largest batch, or allow smaller micro-batches or fewer workers");
    }

    /// <summary>What each of some workers does for one step: the largest micro-batch that fits, so that there are the fewest accumulation steps.</summary>
    /// <exception cref="ArgumentException">That many can't share the global batch; the message has those that can.</exception>
    public ElasticBatch For(int workerCount)
    {
        if (!WorkerCounts.Contains(workerCount))
            throw new ArgumentException($"{workerCount} workers can't share a batch of {GlobalBatch} in micro-batches of {string.Join(", ", _microBatches)}; these can: {string.Join(", ", WorkerCounts)}", nameof(workerCount));
        int share = GlobalBatch / workerCount;
        int micro = _microBatches.Last(size => share % size == 0);
        return new ElasticBatch(GlobalBatch, workerCount, micro, share / micro);
    }

    private static void Check(int largestBatch, IReadOnlyCollection<int> microBatches, int minWorkers, int maxWorkers)
    {
        ArgumentNullException.ThrowIfNull(microBatches);
        if (largestBatch is < 1 or > LargestPossible) throw new ArgumentException($"the largest batch is {largestBatch}, expected 1 to {LargestPossible:N0}", nameof(largestBatch));
        if (microBatches.Count is 0 or > MostMicroBatches) throw new ArgumentException($"there are {microBatches.Count} micro-batch sizes, expected 1 to {MostMicroBatches}", nameof(microBatches));
        foreach (int size in microBatches)
            if (size < 1 || size > largestBatch) throw new ArgumentException($"a micro-batch has {size} samples, expected 1 to the largest batch of {largestBatch}", nameof(microBatches));
        if (minWorkers < 1) throw new ArgumentException($"the fewest workers are {minWorkers}, expected 1 or more", nameof(minWorkers));
        if (maxWorkers < minWorkers || maxWorkers > MostWorkers) throw new ArgumentException($"the most workers are {maxWorkers}, expected {minWorkers} to {MostWorkers:N0}", nameof(maxWorkers));
    }

    private static IEnumerable<int> Candidates(int largestBatch, int[] sizes)
    {
        foreach (long unit in sizes.Select(size => (long)size).Append(CommonMultiple(sizes, largestBatch)).Where(unit => unit <= largestBatch))
        {
            int room = (int)(largestBatch / unit);
            yield return (int)(unit * room);
            yield return (int)(unit * HighlyComposite(room));
        }
    }

    private static long CommonMultiple(int[] sizes, int limit)
    {
        long multiple = 1;
        foreach (int size in sizes)
        {
            multiple = multiple / Divisor(multiple, size) * size;
            if (multiple > limit) return multiple;
        }
        return multiple;
    }

    private static long Divisor(long left, long right) => right == 0 ? left : Divisor(right, left % right);

    /// <summary>The number up to a limit with the most divisors, of equals the smallest: found among products of the first primes with exponents that never rise, which all such numbers are.</summary>
    private static int HighlyComposite(int limit)
    {
        ReadOnlySpan<int> primes = [2, 3, 5, 7, 11, 13, 17, 19];
        (int Number, int Divisors) best = (1, 1);
        Extend(primes, 1, 1, 24, limit, ref best);
        return best.Number;
    }

    private static void Extend(ReadOnlySpan<int> primes, long number, int divisors, int mostExponent, int limit, ref (int Number, int Divisors) best)
    {
        if (divisors > best.Divisors || (divisors == best.Divisors && number < best.Number)) best = ((int)number, divisors);
        if (primes.IsEmpty) return;
        for (int exponent = 1; exponent <= mostExponent; exponent++)
        {
            number *= primes[0];
            if (number > limit) return;
            Extend(primes[1..], number, divisors * (exponent + 1), exponent, limit, ref best);
        }
    }

    private bool Divides(int workers) => GlobalBatch % workers == 0 && _microBatches.Any(size => GlobalBatch / workers % size == 0);
}
