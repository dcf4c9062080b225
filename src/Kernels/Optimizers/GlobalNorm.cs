using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// The Euclidean norm of many tensors taken as one vector, and clipping by it (Pascanu et al. 2013, arXiv 1211.5063). Tensors are summed
/// in the order given, each in fixed chunks: the same bits for any number of threads. NaN or infinity in a tensor gives a norm of NaN or
/// infinity. Squares are taken in f32, so a norm beyond about 1.8e19 is infinite. Nothing is read back to the host.
/// </summary>
public static class GlobalNorm
{
    private const float Epsilon = 1e-6f;

    /// <summary>norm = √(Σ over all tensors Σ x²); 0 for no tensors. The norm is a scalar, shape []. Enqueues and returns.</summary>
    /// <exception cref="ShapeException">The norm is no scalar, or a tensor is not f32.</exception>
    public static void Compute(ExecutionStream stream, Tensor norm, IReadOnlyList<Tensor> tensors)
    {
        const string Operation = "global norm";
        ArgumentNullException.ThrowIfNull(tensors);
        Check.Operand(Operation, stream, norm, default(Shape));
        for (int i = 0; i < tensors.Count; i++) Check.Operand(Operation, stream, tensors[i], DType.F32, "tensor");
        if (tensors.Count == 0)
        {
            norm.Clear(stream);
            return;
        }
        using Tensor squares = Tensor.Allocate(stream, new Shape(tensors.Count));
        for (int i = 0; i < tensors.Count; i++)
        {
            using Tensor slot = squares.Slice(i, 1);
            Reduction.All<SquareSumReducer>(stream, slot, tensors[i]);
        }
        Reduction.All<RootSumReducer>(stream, norm, squares);
    }

    /// <summary>
    /// Computes the norm as above and scales all gradients in place by min(1, maxNorm / (norm + 1e-6)), as PyTorch's clip_grad_norm_:
    /// a norm of NaN makes all gradients NaN, an infinite one leaves 0 and NaN.
    /// </summary>
    /// <exception cref="ShapeException">As above.</exception>
    public static void Clip(ExecutionStream stream, Tensor norm, IReadOnlyList<Tensor> gradients, float maxNorm)
    {
        Compute(stream, norm, gradients);
        Scale(stream, gradients, norm, maxNorm);
    }

    /// <summary>The second half of <see cref="Clip"/>, by a norm that is there already, such as that of more gradients than these. Enqueues and returns.</summary>
    /// <exception cref="ShapeException">The norm is no scalar, or a tensor is not f32.</exception>
    public static void Scale(ExecutionStream stream, IReadOnlyList<Tensor> gradients, Tensor norm, float maxNorm)
    {
        const string Operation = "clip by norm";
        ArgumentNullException.ThrowIfNull(gradients);
        Check.Operand(Operation, stream, norm, default(Shape));
        for (int i = 0; i < gradients.Count; i++) Check.Operand(Operation, stream, gradients[i], DType.F32, "gradient");
        for (int i = 0; i < gradients.Count; i++)
        {
            Tensor gradient = gradients[i];
            if (gradient.ElementCount == 0) continue;
            if (stream.Device is GpuDevice gpu)
            {
                gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, float>(ClipKernel))(
                    GpuDevice.Native(stream), gpu.GridFor(gradient.ElementCount), GpuDevice.View<float>(gradient), GpuDevice.View<float>(norm), maxNorm);
                continue;
            }
            // Host memory and a stream that has run already: the factor is here to be read.
            float factor = Factor(norm.AsSpan<float>()[0], maxNorm);
            if (factor != 1f) Elementwise.Unary(stream, gradient, gradient, new ScaleOperator(factor));
        }
    }

    private static float Factor(float norm, float maxNorm)
    {
        float factor = maxNorm / (norm + Epsilon);
        return factor > 1f ? 1f : factor;
    }

    private static void ClipKernel(ArrayView<float> gradient, ArrayView<float> norm, float maxNorm)
    {
        float factor = Factor(norm[0], maxNorm);
        for (long i = Grid.GlobalLinearIndex; i < gradient.Length; i += (long)Grid.DimX * Group.DimX) gradient[i] *= factor;
    }
}
