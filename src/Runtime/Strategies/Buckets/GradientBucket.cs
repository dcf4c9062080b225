using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Gradients that lie together in memory and are reduced by one collective.</summary>
public sealed class GradientBucket : IDisposable
{
    private int _missing;

    internal GradientBucket(int index, IReadOnlyList<Parameter> parameters, Tensor memory) => (Index, Parameters, Memory) = (index, parameters, memory);

    /// <summary>Its place in the order of reductions.</summary>
    public int Index { get; }

    /// <summary>Whose gradients, in the order in which they lie in memory.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>All of them as one f32 vector, each beginning at a multiple of 64 bytes, zeros between.</summary>
    public Tensor Memory { get; }

    /// <summary>Whether the step's reduction has been started.</summary>
    public bool IsStarted => Handle is not null;

    /// <summary>The step's reduction.</summary>
    internal CollectiveHandle? Handle { get; set; }

    /// <summary>How it is reduced in fewer bytes; null: as it is.</summary>
    internal IBucketCompressor? Compressor { get; set; }

    /// <summary>Whether the step's gradients are all complete.</summary>
    internal bool IsReady => _missing == 0;

    internal void Begin() => (_missing, Handle) = (Parameters.Count, null);

    internal void MarkReady() => _missing--;

    /// <inheritdoc/>
    public void Dispose()
    {
        Compressor?.Dispose();
        Memory.Dispose();
    }
}
