using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Batches by number: which samples a batch holds is a function of (epoch, batch) alone, so that training can resume anywhere.</summary>
public interface IBatchSource
{
    /// <summary>Batches in an epoch.</summary>
    int BatchCount { get; }

    /// <summary>Samples in an epoch.</summary>
    int SamplesPerEpoch { get; }

    /// <summary>Loads a batch to the stream's device.</summary>
    Batch Load(ExecutionStream stream, int epoch, int batch);
}
