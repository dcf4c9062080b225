namespace DistTrain.Kernels;

/// <content>The gradients. All operands of one shape; dInput overwrites and may be dOutput unless said otherwise.</content>
public static partial class Elementwise
{
    /// <summary>dInput = dOutput * output, for output = e^input.</summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void ExpBackward(ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor output) =>
        Gradient("exp backward", stream, dInput, dOutput, output, default(MultiplyOperator));

    /// <summary>dInput = dOutput / input, for output = ln input.</summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void LogBackward(ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor input) =>
        Gradient("log backward", stream, dInput, dOutput, input, default(DivideOperator));

    /// <summary>dInput = dOutput / (2 output), for output = √input; infinite where the output is 0.</summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void SqrtBackward(ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor output) =>
        Gradient("sqrt backward", stream, dInput, dOutput, output, default(SqrtGradientOperator));

    /// <summary>dInput = dOutput where min ≤ input ≤ max, else 0; NaN where the input is NaN.</summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void ClampBackward(ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor input, float min, float max) =>
        Gradient("clamp backward", stream, dInput, dOutput, input, new ClampGradientOperator(min, max));

    /// <summary>
    /// dLeft = dOutput / right and dRight = -dOutput * output / right, for output = left / right of one shape. A gradient that is not
    /// wanted is null. Neither gradient may be one of the inputs.
    /// </summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void DivideBackward(ExecutionStream stream, Tensor? dLeft, Tensor? dRight, Tensor dOutput, Tensor right, Tensor output)
    {
        const string Operation = "divide backward";
        Check.Operand(Operation, stream, dOutput);
        Check.Operand(Operation, stream, right, dOutput.Shape);
        Check.Operand(Operation, stream, output, dOutput.Shape);
        if (dLeft is not null)
        {
            Check.Operand(Operation, stream, dLeft, dOutput.Shape);
            Binary(stream, dLeft, dOutput, right, default(DivideOperator));
        }
        if (dRight is not null)
        {
            Check.Operand(Operation, stream, dRight, dOutput.Shape);
            Binary(stream, dRight, dOutput, right, default(NegativeQuotientOperator));
            Binary(stream, dRight, dRight, output, default(MultiplyOperator));
        }
    }

    private static void Gradient<TOperator>(string operation, ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor saved, TOperator function)
        where TOperator : unmanaged, IBinaryOperator
    {
        Check.Operand(operation, stream, dInput);
        Check.Operand(operation, stream, dOutput, dInput.Shape);
        Check.Operand(operation, stream, saved, dInput.Shape);
        Binary(stream, dInput, dOutput, saved, function);
    }
}
