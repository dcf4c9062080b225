using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Batches of labelled images: assembled straight in the tensor on a CPU device, else in host memory and copied. Not thread-safe.</summary>
public sealed class ImageBatchSource(ImageBatches batches) : IBatchSource
{
    private float[] _inputs = [];
    private int[] _labels = [];

    /// <summary>Batches of <paramref name="images"/> made as <paramref name="options"/> say.</summary>
    public ImageBatchSource(LabelledImages images, ImageBatchOptions options) : this(new ImageBatches(images, options))
    {
    }

    /// <inheritdoc/>
    public int BatchCount => batches.BatchCount;

    /// <inheritdoc/>
    public int SamplesPerEpoch => batches.SamplesPerEpoch;

    /// <inheritdoc/>
    public Batch Load(ExecutionStream stream, int epoch, int batch)
    {
        ArgumentNullException.ThrowIfNull(stream);
        int count = Math.Min(batches.Options.BatchSize, batches.SamplesPerEpoch - (batch * batches.Options.BatchSize));
        LabelledImages images = batches.Images;
        Tensor inputs = Tensor.Allocate(stream, new Shape(count, images.Channels, images.Height, images.Width));
        Tensor labels = Tensor.Allocate(stream, new Shape(count), DType.I32);
        try
        {
            long firstSample = stream.Device is CpuDevice
                ? batches.Fill(epoch, batch, inputs.AsSpan<float>(), labels.AsSpan<int>()).FirstSample
                : FillThroughHost(stream, epoch, batch, inputs, labels);
            return new Batch(inputs, labels, firstSample);
        }
        catch
        {
            inputs.Dispose();
            labels.Dispose();
            throw;
        }
    }

    private long FillThroughHost(ExecutionStream stream, int epoch, int batch, Tensor inputs, Tensor labels)
    {
        if (_inputs.Length < inputs.ElementCount) _inputs = new float[inputs.ElementCount];
        if (_labels.Length < labels.ElementCount) _labels = new int[labels.ElementCount];
        Span<float> hostInputs = _inputs.AsSpan(0, (int)inputs.ElementCount);
        Span<int> hostLabels = _labels.AsSpan(0, (int)labels.ElementCount);
        ImageBatch filled = batches.Fill(epoch, batch, hostInputs, hostLabels);
        inputs.CopyFrom<float>(stream, hostInputs);
        labels.CopyFrom<int>(stream, hostLabels);
        return filled.FirstSample;
    }
}
