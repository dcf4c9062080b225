using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>Reduces tensors where they lie, by the device's kernels: what our algorithms do between messages on a GPU. Sums and products of f32, f16 and bf16, the narrow types by way of f32.</summary>
internal static class DeviceReduction
{
    /// <summary>Whether there are kernels for it. Integers wrap around, minima and maxima are exact: in any order the same, so that NCCL's own verbs do.</summary>
    internal static bool Supports(DType dtype, ReduceOp op) => dtype is DType.F32 or DType.F16 or DType.BF16 && op is ReduceOp.Sum or ReduceOp.Product or ReduceOp.Average;

    /// <summary>output = op(left, right), rounded once; averages are sums here. Vectors of as many elements; output may be one of them. Enqueues and returns.</summary>
    internal static void Combine(ExecutionStream stream, ReduceOp op, Tensor output, Tensor left, Tensor right)
    {
        if (output.DType == DType.F32 && left.DType == DType.F32 && right.DType == DType.F32)
        {
            Apply(stream, op, output, left, right);
            return;
        }
        using Tensor wideLeft = Widen(stream, left), wideRight = Widen(stream, right);
        Apply(stream, op, wideLeft, wideLeft, wideRight);
        Narrow(stream, output, wideLeft);
    }

    /// <summary>A copy in f32; of f32 the tensor itself. The caller disposes it.</summary>
    internal static Tensor Widen(ExecutionStream stream, Tensor tensor)
    {
        if (tensor.DType == DType.F32) return tensor.Share();
        Tensor wide = Tensor.Allocate(stream, tensor.Shape);
        Cast.Convert(stream, wide, tensor);
        return wide;
    }

    /// <summary>Writes f32 into a tensor of its own type.</summary>
    internal static void Narrow(ExecutionStream stream, Tensor output, Tensor wide)
    {
        if (output.DType == DType.F32) wide.CopyTo(stream, output);
        else Cast.Convert(stream, output, wide);
    }

    /// <summary>Divides by the number of ranks, in place.</summary>
    internal static void Divide(ExecutionStream stream, Tensor tensor, int count)
    {
        using Tensor wide = Widen(stream, tensor);
        using Tensor divisor = Tensor.From(stream, [(float)count], new Shape(1));
        using Tensor rows = wide.Reshape(new Shape(checked((int)wide.ElementCount), 1));
        Elementwise.Divide(stream, rows, rows, divisor);
        if (tensor.DType != DType.F32) Narrow(stream, tensor, wide);
    }

    private static void Apply(ExecutionStream stream, ReduceOp op, Tensor output, Tensor left, Tensor right)
    {
        if (op == ReduceOp.Product) Elementwise.Multiply(stream, output, left, right);
        else Elementwise.Add(stream, output, left, right);
    }
}
