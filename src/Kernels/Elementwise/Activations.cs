namespace DistTrain.Kernels;

/// <summary>Activation functions and their gradients, element by element. All operands f32 of one shape. Output overwrites. Enqueues and returns.</summary>
public static class Activations
{
    /// <summary>output = activation(input). The output may be the input. <see cref="Activation.None"/> copies.</summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void Forward(ExecutionStream stream, Tensor output, Tensor input, Activation activation)
    {
        const string Operation = "activation";
        Check.Operand(Operation, stream, output);
        Check.Operand(Operation, stream, input, output.Shape);
        switch (activation)
        {
            case Activation.None: Elementwise.Unary<IdentityOperator>(stream, output, input, default); break;
            case Activation.Relu: Elementwise.Unary<ReluOperator>(stream, output, input, default); break;
            case Activation.Gelu: Elementwise.Unary<GeluOperator>(stream, output, input, default); break;
            case Activation.Silu: Elementwise.Unary<SiluOperator>(stream, output, input, default); break;
            case Activation.Tanh: Elementwise.Unary<TanhOperator>(stream, output, input, default); break;
            case Activation.Sigmoid: Elementwise.Unary<SigmoidOperator>(stream, output, input, default); break;
            case Activation.GeluTanh: Elementwise.Unary<GeluTanhOperator>(stream, output, input, default); break;
            default: throw new ArgumentOutOfRangeException(nameof(activation), activation, "unknown activation");
        }
    }

    /// <summary>
    /// dInput = dOutput · activation'(input). Relu, Tanh and Sigmoid need <paramref name="output"/>; Gelu, GeluTanh and Silu need
    /// <paramref name="input"/>; None needs neither. What is not needed may be null. dInput may be dOutput.
    /// </summary>
    /// <exception cref="ShapeException">The shapes differ, or the needed operand is null.</exception>
    public static void Backward(ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor? input, Tensor? output, Activation activation)
    {
        const string Operation = "activation backward";
        Check.Operand(Operation, stream, dInput);
        Check.Operand(Operation, stream, dOutput, dInput.Shape);
        switch (activation)
        {
            case Activation.None: Elementwise.Unary<IdentityOperator>(stream, dInput, dOutput, default); break;
            case Activation.Relu: WithOutput<ReluGradientOperator>(); break;
            case Activation.Tanh: WithOutput<TanhGradientOperator>(); break;
            case Activation.Sigmoid: WithOutput<SigmoidGradientOperator>(); break;
            case Activation.Gelu: WithInput<GeluGradientOperator>(); break;
            case Activation.Silu: WithInput<SiluGradientOperator>(); break;
            case Activation.GeluTanh: WithInput<GeluTanhGradientOperator>(); break;
            default: throw new ArgumentOutOfRangeException(nameof(activation), activation, "unknown activation");
        }

        void WithOutput<TOperator>() where TOperator : unmanaged, IBinaryOperator
        {
            Check.Rule(Operation, output is not null, $"{activation} needs the output, found null");
            Check.Operand(Operation, stream, output, dInput.Shape);
            Elementwise.Binary<TOperator>(stream, dInput, dOutput, output, default);
        }

        void WithInput<TOperator>() where TOperator : unmanaged, IBinaryOperator
        {
            Check.Rule(Operation, input is not null, $"{activation} needs the input, found null");
            Check.Operand(Operation, stream, input, dInput.Shape);
            Elementwise.Binary<TOperator>(stream, dInput, dOutput, input, default);
        }
    }
}
