namespace DistTrain.Ingest;

/// <summary>How <see cref="ImageBatches"/> makes batches.</summary>
/// <param name="BatchSize">Samples in a batch.</param>
/// <param name="Shuffle">A new order each epoch; false keeps file order.</param>
/// <param name="Seed">Names the orders.</param>
/// <param name="DropLast">Leaves the last batch out if it is not full.</param>
/// <param name="Scale">Pixels to floats. Null: <see cref="InputScale.Unit"/>.</param>
public sealed record ImageBatchOptions(int BatchSize, bool Shuffle = true, ulong Seed = 0, bool DropLast = false, InputScale? Scale = null);

/// <summary>What a batch holds.</summary>
/// <param name="Count">Samples in it: the batch size, or fewer in the last one.</param>
/// <param name="FirstSample">
/// The global index of its first sample: epoch times samples per epoch, plus the position in the epoch. Keys random numbers, and tells where to resume.
/// </param>
public readonly record struct ImageBatch(int Count, long FirstSample);

/// <summary>
/// Assembles batches of labelled images in memory that the caller gives. Where a batch lies is a pure function of (options, epoch, batch), so that any
/// batch can be asked for at any time: to resume, or for one rank's part of it. Allocates nothing for a batch. Not thread-safe; make one for each thread over
/// the same images, all give the same batches.
/// </summary>
public sealed class ImageBatches
{
    private readonly int[] _order;
    private readonly InputScale _scale;
    private int _orderedEpoch = -1;

    /// <summary>Batches of <paramref name="images"/>, which is not copied.</summary>
    /// <exception cref="ArgumentException">A batch size below 1, or a scale that divides by zero.</exception>
    public ImageBatches(LabelledImages images, ImageBatchOptions options)
    {
        ArgumentNullException.ThrowIfNull(images);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.BatchSize);
        _scale = options.Scale ?? InputScale.Unit(images);
        if (!_scale.IsUsable) throw new ArgumentException($"{_scale}: divisor, mean and standard deviation must be finite, divisor and standard deviation not 0", nameof(options));
        Images = images;
        Options = options;
        _order = new int[images.Count];
    }

    /// <summary>The samples.</summary>
    public LabelledImages Images { get; }

    /// <summary>How batches are made.</summary>
    public ImageBatchOptions Options { get; }

    /// <summary>Batches in an epoch.</summary>
    public int BatchCount => Options.DropLast ? Images.Count / Options.BatchSize : (int)((Images.Count + (long)Options.BatchSize - 1) / Options.BatchSize);

    /// <summary>Samples given in an epoch.</summary>
    public int SamplesPerEpoch => Options.DropLast ? BatchCount * Options.BatchSize : Images.Count;

    /// <summary>Floats that one sample takes.</summary>
    public int SampleLength => Images.SampleLength;

    /// <summary>Assembles one batch.</summary>
    /// <param name="epoch">From 0.</param>
    /// <param name="batch">From 0 to <see cref="BatchCount"/> - 1.</param>
    /// <param name="inputs">At least the batch's samples times <see cref="SampleLength"/>; [sample, channel, row, column]. What lies behind them is left as it is.</param>
    /// <param name="labels">At least one for each of the batch's samples.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such batch.</exception>
    public ImageBatch Fill(int epoch, int batch, Span<float> inputs, Span<int> labels)
    {
        if ((uint)batch >= (uint)BatchCount)
            throw new ArgumentOutOfRangeException(nameof(batch), batch, $"an epoch of {Images.Count} samples has {BatchCount} batches of {Options.BatchSize}");
        int position = batch * Options.BatchSize;
        return FillRange(epoch, position, Math.Min(Options.BatchSize, SamplesPerEpoch - position), inputs, labels);
    }

    /// <summary>Assembles <paramref name="count"/> samples from <paramref name="position"/> of the epoch's order on: one rank's or one micro-batch's part of a batch.</summary>
    /// <inheritdoc cref="Fill"/>
    public ImageBatch FillRange(int epoch, int position, int count, Span<float> inputs, Span<int> labels)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(epoch);
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((long)position + count, SamplesPerEpoch, nameof(count));
        if (inputs.Length < (long)count * SampleLength)
            throw new ArgumentException($"{count} samples of {SampleLength} floats need {(long)count * SampleLength}, the span has {inputs.Length}", nameof(inputs));
        if (labels.Length < count) throw new ArgumentException($"{count} samples need as many labels, the span has {labels.Length}", nameof(labels));
        Arrange(epoch);
        for (int i = 0; i < count; i++)
        {
            int sample = _order[position + i];
            PixelConversion.Convert(Images.Sample(sample), inputs.Slice(i * SampleLength, SampleLength), _scale);
            labels[i] = Images.Labels[sample];
        }
        return new ImageBatch(count, ((long)epoch * SamplesPerEpoch) + position);
    }

    /// <summary>Which image is at <paramref name="position"/> of the epoch's order.</summary>
    public int SampleAt(int epoch, int position)
    {
        Arrange(epoch);
        return _order[position];
    }

    private void Arrange(int epoch)
    {
        if (epoch == _orderedEpoch) return;
        if (Options.Shuffle) EpochOrder.Fill(_order, Options.Seed, epoch);
        else if (_orderedEpoch < 0) for (int i = 0; i < _order.Length; i++) _order[i] = i;
        _orderedEpoch = epoch;
    }
}
