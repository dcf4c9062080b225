namespace DistTrain.Kernels;

/// <summary>
/// 2-D convolution (cross-correlation, as neural networks use it) and its gradients. Activations are NCHW [batch, channels, height, width],
/// weights OIHW [output channels, input channels / groups, kernel height, kernel width]: PyTorch's layouts. All operands are f32 on the
/// stream's device, but inputs and weights that are only read may be bf16 or f16: results have the bits of the widened ones; outputs may not share memory with inputs. Enqueues and returns.
/// On the CPU each element of an output or an input gradient is one chain of fused multiply-adds in ascending (channel, row, column), so its
/// bits do not depend on threads or vector width; weight gradients add images in ascending order within a fixed partition.
/// </summary>
public static class Convolution2d
{
    private const string ForwardName = "convolution", BackwardInputName = "convolution backward input", BackwardWeightName = "convolution backward weight";

    /// <summary>
    /// output[n, o, y, x] = activation(bias[o] + Σ over i, u, v of input[n, i, y·stride + u - padding, x·stride + v - padding] · weight[o, i, u, v]);
    /// cells outside the input count as 0. Overwrites <paramref name="output"/>, whose shape is <see cref="Convolution2dOptions.OutputShape"/>.
    /// </summary>
    /// <exception cref="ShapeException">Shapes, strides, paddings or groups don't fit.</exception>
    public static void Forward(
        ExecutionStream stream, Tensor output, Tensor input, Tensor weight, Tensor? bias, in Convolution2dOptions options,
        Activation activation = Activation.None)
    {
        ConvolutionGeometry geometry = CheckAll(ForwardName, stream, output, nameof(output), input, nameof(input), weight, nameof(weight), options);
        if (bias is not null) Check.Operand(ForwardName, stream, bias, new Shape(weight.Shape[0]));
        Check.Rule(ForwardName, input.DType == weight.DType, $"input is {input.DType} and weight {weight.DType}; they must be of one type");
        if (output.ElementCount == 0) return;
        using Tensor? wideInput = WidenedForCpu(stream, input), wideWeight = WidenedForCpu(stream, weight);
        (input, weight) = (wideInput ?? input, wideWeight ?? weight);
        switch (activation)
        {
            case Activation.None: Forward<IdentityOperator>(stream, output, input, weight, bias, geometry); break;
            case Activation.Relu: Forward<ReluOperator>(stream, output, input, weight, bias, geometry); break;
            case Activation.Gelu: Forward<GeluOperator>(stream, output, input, weight, bias, geometry); break;
            case Activation.Silu: Forward<SiluOperator>(stream, output, input, weight, bias, geometry); break;
            case Activation.Tanh: Forward<TanhOperator>(stream, output, input, weight, bias, geometry); break;
            case Activation.Sigmoid: Forward<SigmoidOperator>(stream, output, input, weight, bias, geometry); break;
            case Activation.GeluTanh: Forward<GeluTanhOperator>(stream, output, input, weight, bias, geometry); break;
            default: throw new ArgumentOutOfRangeException(nameof(activation), activation, "unknown activation");
        }
    }

    /// <summary>
    /// The gradient with respect to the input: dInput[n, i, h, w] = Σ of dOutput[n, o, y, x] · weight[o, i, u, v] over all (o, y, x, u, v)
    /// that read that cell. <paramref name="dOutput"/> is taken before any activation. Overwrites <paramref name="dInput"/>.
    /// </summary>
    /// <exception cref="ShapeException">Shapes, strides, paddings or groups don't fit.</exception>
    public static void BackwardInput(ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor weight, in Convolution2dOptions options)
    {
        ConvolutionGeometry geometry =
            CheckAll(BackwardInputName, stream, dOutput, nameof(dOutput), dInput, nameof(dInput), weight, nameof(weight), options);
        if (dInput.ElementCount == 0) return;
        Check.Operand(BackwardInputName, stream, dInput);
        using Tensor? wide = WidenedForCpu(stream, weight);
        weight = wide ?? weight;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: Convolution2dReference.BackwardInput(dInput, dOutput, weight, geometry); break;
            case CpuDevice cpu: Convolution2dSimd.BackwardInput(cpu, stream, dInput, dOutput, weight, geometry); break;
            case GpuDevice gpu: Convolution2dGpu.BackwardInput(gpu, stream, dInput, dOutput, weight, geometry); break;
        }
    }

    /// <summary>
    /// The gradients with respect to weight and bias: dWeight[o, i, u, v] = Σ over n, y, x of dOutput[n, o, y, x] · (the input cell read there),
    /// dBias[o] = Σ over n, y, x of dOutput[n, o, y, x]. <paramref name="dOutput"/> is taken before any activation.
    /// Overwrites both, or adds to both if <paramref name="accumulate"/>. An empty batch gives gradients of 0.
    /// </summary>
    /// <exception cref="ShapeException">Shapes, strides, paddings or groups don't fit.</exception>
    public static void BackwardWeight(
        ExecutionStream stream, Tensor dWeight, Tensor? dBias, Tensor dOutput, Tensor input, in Convolution2dOptions options, bool accumulate = false)
    {
        ConvolutionGeometry geometry =
            CheckAll(BackwardWeightName, stream, dOutput, nameof(dOutput), input, nameof(input), dWeight, nameof(dWeight), options);
        if (dBias is not null) Check.Operand(BackwardWeightName, stream, dBias, new Shape(dWeight.Shape[0]));
        Check.Operand(BackwardWeightName, stream, dWeight);
        using Tensor? wide = WidenedForCpu(stream, input);
        input = wide ?? input;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }:
                Convolution2dReference.BackwardWeight(dWeight, dBias, dOutput, input, geometry, accumulate);
                break;
            case CpuDevice cpu: Convolution2dSimd.BackwardWeight(cpu, stream, dWeight, dBias, dOutput, input, geometry, accumulate); break;
            case GpuDevice gpu: Convolution2dGpu.BackwardWeight(gpu, stream, dWeight, dBias, dOutput, input, geometry, accumulate); break;
        }
    }

    private static void Forward<TActivation>(
        ExecutionStream stream, Tensor output, Tensor input, Tensor weight, Tensor? bias, in ConvolutionGeometry geometry)
        where TActivation : unmanaged, IUnaryOperator
    {
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }:
                Convolution2dReference.Forward<TActivation>(output, input, weight, bias, geometry);
                break;
            case CpuDevice cpu: Convolution2dSimd.Forward<TActivation>(cpu, stream, output, input, weight, bias, geometry); break;
            case GpuDevice gpu: Convolution2dGpu.Forward<TActivation>(gpu, stream, output, input, weight, bias, geometry); break;
        }
    }

    private static ConvolutionGeometry CheckAll(
        string operation, ExecutionStream stream, Tensor output, string outputName, Tensor input, string inputName,
        Tensor weight, string weightName, in Convolution2dOptions options)
    {
        Check.Operand(operation, stream, output, DType.F32, outputName);
        Check.Operand(operation, stream, input, ReadableType(input), inputName);
        Check.Operand(operation, stream, weight, ReadableType(weight), weightName);
        ConvolutionGeometry geometry = ConvolutionGeometry.Of(operation, input.Shape, weight.Shape, options);
        Check.Operand(operation, stream, output, geometry.OutputShape, DType.F32, outputName);
        return geometry;
    }

    private static DType ReadableType(Tensor tensor) => tensor is { DType: DType.F16 or DType.BF16 } ? tensor.DType : DType.F32;

    // The vector kernels read f32: for the time of one call there is a copy. Null where none is needed.
    private static Tensor? WidenedForCpu(ExecutionStream stream, Tensor tensor)
    {
        if (tensor.DType == DType.F32 || stream.Device is not CpuDevice) return null;
        Tensor wide = Tensor.Allocate(stream, tensor.Shape);
        Cast.Convert(stream, wide, tensor);
        return wide;
    }
}
