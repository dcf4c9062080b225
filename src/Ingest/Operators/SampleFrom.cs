using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <summary>A mix: each element comes from a dataset drawn with the weights; those at their end are left out of the draw.</summary>
    /// <param name="datasets">At least one.</param>
    /// <param name="weights">One for each dataset, not negative, not all 0; they need not add up to 1.</param>
    /// <param name="seed">Names the draws.</param>
    /// <param name="stopAtFirstEnd">Ends when a drawn dataset is at its end, so that the mix keeps its shares.</param>
    public static Dataset<T> SampleFrom<T>(IReadOnlyList<Dataset<T>> datasets, IReadOnlyList<double> weights, ulong seed, bool stopAtFirstEnd = false)
    {
        ArgumentNullException.ThrowIfNull(datasets);
        ArgumentNullException.ThrowIfNull(weights);
        if (datasets.Count == 0 || weights.Count != datasets.Count) throw new ArgumentException($"{datasets.Count} datasets and {weights.Count} weights: expected as many, at least one", nameof(weights));
        if (weights.Any(w => !double.IsFinite(w) || w < 0) || weights.All(w => w == 0))
            throw new ArgumentException($"weights {string.Join(", ", weights)}: expected finite, not negative, not all 0", nameof(weights));
        // Scaled, so that their sum is finite.
        double largest = weights.Max();
        return new SampleDataset<T>([.. datasets], [.. weights.Select(w => w / largest)], seed, stopAtFirstEnd);
    }
}

internal sealed class SampleDataset<T>(Dataset<T>[] datasets, double[] weights, ulong seed, bool stopAtFirstEnd) : Dataset<T>
{
    public override string Name => "SampleFrom";

    public override Cardinality Cardinality => stopAtFirstEnd ? Cardinality.Unknown
        : datasets.Any(d => d.Cardinality.IsInfinite) ? Cardinality.Infinite
        : datasets.All(d => d.Cardinality.IsKnown) ? datasets.Select(d => d.Cardinality).Aggregate((a, b) => a.IsInfinite ? a : Cardinality.Sum(a.Count, b.Count)) : Cardinality.Unknown;

    protected internal override ElementStream<T> Open(StreamContext context) =>
        new SampleStream<T>([.. datasets.Select(d => d.Open(context))], weights, seed, context.Epoch, stopAtFirstEnd);
}

internal sealed class SampleStream<T>(ElementStream<T>[] streams, double[] weights, ulong seed, long epoch, bool stopAtFirstEnd) : ElementStream<T>
{
    private readonly bool[] _isEnded = new bool[streams.Length];
    private long _draws, _taken;
    private int _last;

    public override long ElementIndex => _taken - 1;

    public override SourceLocation Source => streams[_last].Source;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        while (TryDraw(out int drawn))
        {
            _last = drawn;
            // An element that fails has been drawn, and counts.
            _taken++;
            if (streams[drawn].TryNext(out element)) return true;
            _taken--;
            if (stopAtFirstEnd) Array.Fill(_isEnded, true);
            else _isEnded[drawn] = true;
        }
        element = default;
        return false;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator("SampleFrom");
        writer.WriteInt64(_draws);
        writer.WriteInt64(_taken);
        for (int i = 0; i < streams.Length; i++)
        {
            writer.WriteBoolean(_isEnded[i]);
            streams[i].Save(writer);
        }
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator("SampleFrom");
        _draws = reader.ReadInt64(0, long.MaxValue, "the number of draws");
        _taken = reader.ReadInt64(0, long.MaxValue, "the number of elements taken");
        for (int i = 0; i < streams.Length; i++)
        {
            _isEnded[i] = reader.ReadBoolean();
            // Ranks with uneven parts see an end at different draws.
            if (_isEnded[i]) reader.RequireSameRanks("SampleFrom");
            streams[i].Restore(reader);
        }
    }

    protected override void Dispose(bool disposing) => Disposal.DisposeAll(streams);

    // Datasets with weight 0 are never drawn, and their end is never noticed: they don't keep the mix going.
    private bool TryDraw(out int drawn)
    {
        drawn = -1;
        double total = 0;
        for (int i = 0; i < weights.Length; i++) total += _isEnded[i] ? 0 : weights[i];
        if (total == 0) return false;
        double at = new ElementRandom(seed, epoch, _draws++).NextDouble() * total;
        for (int i = 0; i < weights.Length; i++)
        {
            if (_isEnded[i] || weights[i] == 0) continue;
            drawn = i;
            at -= weights[i];
            if (at < 0) break;
        }
        return true;
    }
}
