using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>What a model gives for each sample, in the order of the samples.</summary>
public sealed class Predictions
{
    private readonly float[] _values;
    private readonly int _length;

    internal Predictions(Shape sampleShape, float[] values)
    {
        (SampleShape, _values, _length) = (sampleShape, values, checked((int)sampleShape.ElementCount));
        Count = _length == 0 ? 0 : values.Length / _length;
    }

    /// <summary>Samples.</summary>
    public int Count { get; }

    /// <summary>The extents of one sample's output, as [classes].</summary>
    public Shape SampleShape { get; }

    /// <summary>The output for a sample, row-major.</summary>
    /// <param name="sample">From 0, in the order in which the batches hold them.</param>
    public ReadOnlySpan<float> this[int sample] => _values.AsSpan(checked(sample * _length), _length);

    /// <summary>The class with the largest output for a sample.</summary>
    public int ClassOf(int sample)
    {
        ReadOnlySpan<float> outputs = this[sample];
        int best = 0;
        for (int i = 1; i < outputs.Length; i++)
            if (outputs[i] > outputs[best]) best = i;
        return best;
    }
}
