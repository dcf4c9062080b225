namespace DistTrain.Runtime;

/// <summary>How often samples of each class were taken for each class.</summary>
public sealed class ConfusionMatrix
{
    private readonly long[] _counts;

    /// <param name="classCount">Classes.</param>
    public ConfusionMatrix(int classCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(classCount);
        ClassCount = classCount;
        _counts = new long[classCount * classCount];
    }

    /// <summary>Classes.</summary>
    public int ClassCount { get; }

    /// <summary>Samples of class <paramref name="label"/> that were taken for <paramref name="prediction"/>.</summary>
    public long this[int label, int prediction] => _counts[(label * ClassCount) + prediction];

    /// <summary>Samples whose logits had no largest value, being NaN: wrong, whatever their label.</summary>
    public long UnclassifiedCount { get; private set; }

    /// <summary>Samples in all.</summary>
    public long SampleCount => _counts.Sum() + UnclassifiedCount;

    /// <summary>The part of the samples taken for what they are; NaN without samples.</summary>
    public double Accuracy => (double)Enumerable.Range(0, ClassCount).Sum(label => this[label, label]) / SampleCount;

    /// <summary>The part of the samples of a class that were found; NaN without any.</summary>
    public double Recall(int label) => (double)this[label, label] / Enumerable.Range(0, ClassCount).Sum(prediction => this[label, prediction]);

    /// <summary>The part of the samples taken for a class that were of it; NaN without any.</summary>
    public double Precision(int prediction) => (double)this[prediction, prediction] / Enumerable.Range(0, ClassCount).Sum(label => this[label, prediction]);

    /// <summary>All counts as numbers that can be added up over replicas: row by row, then the unclassified ones. Exact to 2^53.</summary>
    internal IEnumerable<double> Counts => _counts.Append(UnclassifiedCount).Select(count => (double)count);

    internal static ConfusionMatrix Of(int classCount, ReadOnlySpan<double> counts)
    {
        ConfusionMatrix matrix = new(classCount) { UnclassifiedCount = (long)counts[^1] };
        for (int i = 0; i < matrix._counts.Length; i++) matrix._counts[i] = (long)counts[i];
        return matrix;
    }

    /// <summary>Counts one sample by its logits: the first of the largest is the prediction.</summary>
    internal void Add(int label, ReadOnlySpan<float> logits)
    {
        if ((uint)label >= (uint)ClassCount) throw new ArgumentOutOfRangeException(nameof(label), label, $"the model has {ClassCount} classes");
        int best = 0;
        for (int i = 0; i < logits.Length; i++)
        {
            if (float.IsNaN(logits[i]))
            {
                UnclassifiedCount++;
                return;
            }
            if (logits[i] > logits[best]) best = i;
        }
        _counts[(label * ClassCount) + best]++;
    }
}
