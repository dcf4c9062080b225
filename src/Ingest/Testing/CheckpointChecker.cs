namespace DistTrain.Ingest;

/// <summary>
/// Checks that a dataset's runs can be saved and restored exactly: an unbroken run is compared with runs that are broken off, restored from the saved bytes and gone
/// on with, at break points from before the first element to behind the last one, once and twice in a row. For tests of programs with operators and
/// datasets of their own, as tf.data's and Grain's checkpoint tests do.
/// </summary>
public static class CheckpointChecker
{
    /// <summary>Checks a dataset; returns if all is well.</summary>
    /// <param name="dataset">Makes the dataset; called anew for each run, as a new process would.</param>
    /// <param name="describe">What is compared of an element: a value with equality. Called before the element is disposed. Null: the element itself.</param>
    /// <param name="breakPoints">About how many places a run is broken at.</param>
    /// <param name="maxElements">Compares this many elements of datasets without an end.</param>
    /// <exception cref="CheckpointMismatchException">A broken run gave other elements.</exception>
    public static void Check<T>(Func<Dataset<T>> dataset, Func<T, object?>? describe = null, int breakPoints = 10, int maxElements = 10_000)
    {
        ArgumentNullException.ThrowIfNull(dataset);
        describe ??= element => element;
        List<object?> whole = [];
        using (DatasetIterator<T> run = dataset().Iterate()) Take(run, maxElements, whole, describe);
        bool isEndless = whole.Count == maxElements;
        CheckUndisturbed(dataset, describe, whole);
        foreach (int at in BreakPoints(whole.Count, breakPoints))
        {
            CheckBroken(dataset, describe, whole, [at], isEndless);
            CheckBroken(dataset, describe, whole, [at, at], isEndless);
            CheckBroken(dataset, describe, whole, [at, (at + whole.Count + 1) / 2], isEndless);
        }
    }

    private static SortedSet<int> BreakPoints(int count, int wanted)
    {
        // Before the first, behind the first and the last, and spread between.
        SortedSet<int> points = [0, Math.Min(1, count), Math.Max(0, count - 1), count];
        for (int i = 1; i < wanted; i++) points.Add((int)((long)count * i / wanted));
        return points;
    }

    // Saving must not change what a run that goes on gives.
    private static void CheckUndisturbed<T>(Func<Dataset<T>> dataset, Func<T, object?> describe, List<object?> whole)
    {
        List<object?> elements = [];
        using DatasetIterator<T> run = dataset().Iterate();
        int stride = Math.Max(1, whole.Count / 16);
        while (elements.Count < whole.Count)
        {
            int before = elements.Count;
            run.Save();
            Take(run, Math.Min(stride, whole.Count - before), elements, describe);
            if (elements.Count == before) break;
        }
        CompareAll(elements, whole, []);
    }

    private static void CheckBroken<T>(Func<Dataset<T>> dataset, Func<T, object?> describe, List<object?> whole, int[] breaks, bool isEndless)
    {
        List<object?> elements = [];
        byte[]? saved = null;
        foreach (int at in breaks)
        {
            using DatasetIterator<T> run = Resume(dataset, saved);
            Take(run, at - elements.Count, elements, describe);
            saved = run.Save().ToBytes().ToArray();
        }
        using DatasetIterator<T> last = Resume(dataset, saved);
        Take(last, whole.Count - elements.Count, elements, describe);
        CompareAll(elements, whole, breaks);
        if (isEndless || !last.TryNext(out T? more)) return;
        Ownership<T>.Release(more);
        throw new CheckpointMismatchException($"{Describe(breaks)}: the dataset has {whole.Count} elements, restored it gives more");
    }

    private static DatasetIterator<T> Resume<T>(Func<Dataset<T>> dataset, byte[]? saved)
    {
        DatasetIterator<T> run = dataset().Iterate();
        if (saved is not null) run.Restore(IteratorState.FromBytes(saved));
        return run;
    }

    private static void Take<T>(DatasetIterator<T> run, int count, List<object?> elements, Func<T, object?> describe)
    {
        for (int i = 0; i < count && run.TryNext(out T? element); i++)
        {
            elements.Add(describe(element));
            Ownership<T>.Release(element);
        }
    }

    private static void CompareAll(List<object?> found, List<object?> expected, int[] breaks)
    {
        for (int i = 0; i < Math.Min(found.Count, expected.Count); i++)
        {
            if (!Equals(found[i], expected[i]))
                throw new CheckpointMismatchException($"{Describe(breaks)}: element {i} is {found[i] ?? "null"}, in the unbroken run {expected[i] ?? "null"}");
        }
        if (found.Count != expected.Count) throw new CheckpointMismatchException($"{Describe(breaks)}: there are {found.Count} elements, in the unbroken run {expected.Count}");
    }

    private static string Describe(int[] breaks) => breaks.Length == 0 ? "saved now and then without a break" : $"broken off and restored at {string.Join(", then at ", breaks)}";
}

/// <summary>A run that was saved and restored gave other elements than one that was not.</summary>
public sealed class CheckpointMismatchException(string message) : Exception(message);
