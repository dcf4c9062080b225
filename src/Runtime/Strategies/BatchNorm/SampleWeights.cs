using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// What the parts of a step weigh in a mean of state that each changed by its own samples, such as running statistics: their samples. Computed on the device, so that the host does not wait for it.
/// </summary>
internal static class SampleWeights
{
    // Of a part without samples: too little to change a bit of the others', and where no part has any, all count the same.
    private const float Least = 1f / (1 << 30) / (1 << 30) / (1 << 30);

    /// <summary>Factors that make the plain mean over all parts of all replicas the weighted one: exactly 1 where all parts have as many samples. Collective.</summary>
    /// <param name="stream">The replica's stream.</param>
    /// <param name="communicator">All replicas, each with as many parts.</param>
    /// <param name="samples">Of this replica's parts; sums are exact up to 2^24.</param>
    /// <returns>[parts], to be disposed.</returns>
    internal static Tensor Factors(ExecutionStream stream, ICommunicator communicator, ReadOnlySpan<long> samples)
    {
        Span<float> numbers = stackalloc float[samples.Length];
        float sum = 0;
        for (int i = 0; i < samples.Length; i++)
        {
            float weight = samples[i] + Least;
            sum += weight;
            numbers[i] = weight * samples.Length * communicator.WorldSize;
        }
        using Tensor total = Tensor.From<float>(stream, [sum], default);
        communicator.AllReduce(stream, total);
        Tensor factors = Tensor.From<float>(stream, numbers, new Shape(samples.Length));
        Elementwise.Divide(stream, factors, factors, total);
        return factors;
    }

    /// <summary>Multiplies state by the factor of its part.</summary>
    internal static void Apply(ExecutionStream stream, Tensor factors, int part, Tensor[] state)
    {
        using Tensor slice = factors.Slice(part, 1), factor = slice.Reshape(default);
        foreach (Tensor tensor in state) Elementwise.Multiply(stream, tensor, tensor, factor);
    }
}
