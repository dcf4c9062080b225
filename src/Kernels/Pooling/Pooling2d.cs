namespace DistTrain.Kernels;

/// <summary>
/// 2-D pooling of NCHW tensors [batch, channels, height, width] and its gradients. Outputs overwrite; they may not share memory with inputs.
/// All operands lie on the stream's device. Enqueues and returns. Results do not depend on the number of threads.
/// </summary>
public static class Pooling2d
{
    private const string MaxForwardName = "max pooling", MaxBackwardName = "max pooling backward";
    private const string AverageForwardName = "average pooling", AverageBackwardName = "average pooling backward";

    /// <summary>
    /// output = the largest element of each window, indices (i32, the output's shape) = where it lies in its input plane: row · width + column.
    /// Of equal elements the first in row-major order is taken; a NaN counts as larger than all numbers. Padding never wins.
    /// </summary>
    /// <exception cref="ShapeException">Shapes and options don't fit.</exception>
    public static void MaxForward(ExecutionStream stream, Tensor output, Tensor indices, Tensor input, in Pooling2dOptions options)
    {
        Check.Operand(MaxForwardName, stream, input);
        PoolingGeometry geometry = PoolingGeometry.Of(MaxForwardName, input.Shape, options);
        Check.Operand(MaxForwardName, stream, output, geometry.OutputShape);
        Check.Operand(MaxForwardName, stream, indices, geometry.OutputShape, DType.I32);
        if (output.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: Pooling2dReference.MaxForward(output, indices, input, geometry); break;
            case CpuDevice cpu: Pooling2dSimd.MaxForward(cpu, output, indices, input, geometry); break;
            case GpuDevice gpu: Pooling2dGpu.MaxForward(gpu, stream, output, indices, input, geometry); break;
        }
    }

    /// <summary>
    /// dInput = for each cell the sum of dOutput over the windows whose maximum it was, by the <paramref name="indices"/> that
    /// <see cref="MaxForward"/> gave; 0 elsewhere. Windows are added in row-major order. An index outside its plane is an error on the CPU and
    /// ignored on GPUs.
    /// </summary>
    /// <exception cref="ShapeException">Shapes and options don't fit.</exception>
    /// <exception cref="ArgumentException">On the CPU: an index lies outside its plane.</exception>
    public static void MaxBackward(ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor indices, in Pooling2dOptions options)
    {
        Check.Operand(MaxBackwardName, stream, dInput);
        PoolingGeometry geometry = PoolingGeometry.Of(MaxBackwardName, dInput.Shape, options);
        Check.Operand(MaxBackwardName, stream, dOutput, geometry.OutputShape);
        Check.Operand(MaxBackwardName, stream, indices, geometry.OutputShape, DType.I32);
        if (dInput.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: Pooling2dReference.MaxBackward(dInput, dOutput, indices, geometry); break;
            case CpuDevice cpu: Pooling2dSimd.MaxBackward(cpu, dInput, dOutput, indices, geometry); break;
            case GpuDevice gpu: Pooling2dGpu.MaxBackward(gpu, stream, dInput, dOutput, indices, geometry); break;
        }
    }

    /// <summary>output = the mean of each window's cells inside the input; padding does not count (PyTorch's count_include_pad = false).</summary>
    /// <exception cref="ShapeException">Shapes and options don't fit.</exception>
    public static void AverageForward(ExecutionStream stream, Tensor output, Tensor input, in Pooling2dOptions options)
    {
        Check.Operand(AverageForwardName, stream, input);
        PoolingGeometry geometry = PoolingGeometry.Of(AverageForwardName, input.Shape, options);
        Check.Operand(AverageForwardName, stream, output, geometry.OutputShape);
        if (output.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: Pooling2dReference.AverageForward(output, input, geometry); break;
            case CpuDevice cpu: Pooling2dSimd.AverageForward(cpu, output, input, geometry); break;
            case GpuDevice gpu: Pooling2dGpu.AverageForward(gpu, stream, output, input, geometry); break;
        }
    }

    /// <summary>dInput = for each cell the sum, over the windows that hold it, of dOutput divided by that window's cells inside the input.</summary>
    /// <exception cref="ShapeException">Shapes and options don't fit.</exception>
    public static void AverageBackward(ExecutionStream stream, Tensor dInput, Tensor dOutput, in Pooling2dOptions options)
    {
        Check.Operand(AverageBackwardName, stream, dInput);
        PoolingGeometry geometry = PoolingGeometry.Of(AverageBackwardName, dInput.Shape, options);
        Check.Operand(AverageBackwardName, stream, dOutput, geometry.OutputShape);
        if (dInput.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: Pooling2dReference.AverageBackward(dInput, dOutput, geometry); break;
            case CpuDevice cpu: Pooling2dSimd.AverageBackward(cpu, dInput, dOutput, geometry); break;
            case GpuDevice gpu: Pooling2dGpu.AverageBackward(gpu, stream, dInput, dOutput, geometry); break;
        }
    }
}
