using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>The checks that every operation's entry makes once, before it dispatches.</summary>
internal static class Check
{
    /// <summary>Operand lies on the stream's device and has the wanted dtype.</summary>
    public static void Operand(string operation, ExecutionStream stream, Tensor tensor, DType dtype = DType.F32, [CallerArgumentExpression(nameof(tensor))] string name = "")
    {
        ArgumentNullException.ThrowIfNull(tensor, name);
        if (tensor.DType != dtype) ThrowDType(operation, name, tensor, dtype);
        if (tensor.Device != stream.Device) ThrowDevice(operation, name, tensor, stream);
    }

    /// <summary>Operand as above and of exactly this shape.</summary>
    public static void Operand(string operation, ExecutionStream stream, Tensor tensor, Shape shape, DType dtype = DType.F32, [CallerArgumentExpression(nameof(tensor))] string name = "")
    {
        Operand(operation, stream, tensor, dtype, name);
        if (tensor.Shape != shape) ThrowShape(operation, name, tensor.Shape, shape);
    }

    /// <summary>A rule over shapes; the message should hold both shapes and the rule.</summary>
    public static void Rule(string operation, [DoesNotReturnIf(false)] bool holds, [InterpolatedStringHandlerArgument(nameof(holds))] ref RuleMessage message)
    {
        if (!holds) throw new ShapeException($"{operation}: {message.ToStringAndClear()}");
    }

    /// <summary>A rule over options whose message holds no values.</summary>
    public static void Rule(string operation, [DoesNotReturnIf(false)] bool holds, string message)
    {
        if (!holds) throw new ShapeException($"{operation}: {message}");
    }

    [DoesNotReturn]
    private static void ThrowDType(string operation, string name, Tensor tensor, DType expected) =>
        throw new ShapeException($"{operation}: {name} is {tensor.DType} {tensor.Shape}, expected {expected}");

    [DoesNotReturn]
    private static void ThrowDevice(string operation, string name, Tensor tensor, ExecutionStream stream) =>
        throw new ArgumentException($"{operation}: {name} {tensor.Shape} lies on {tensor.Device.Name}, the stream belongs to {stream.Device.Name}; copy it there first");

    [DoesNotReturn]
    private static void ThrowShape(string operation, string name, Shape found, Shape expected) =>
        throw new ShapeException($"{operation}: {name} has shape {found}, expected {expected}");

    /// <summary>Builds the message only where the rule is broken, so that checks cost no allocation.</summary>
    [InterpolatedStringHandler]
    public ref struct RuleMessage
    {
        private DefaultInterpolatedStringHandler _inner;

        public RuleMessage(int literalLength, int formattedCount, bool holds, out bool build)
        {
            build = !holds;
            if (build) _inner = new DefaultInterpolatedStringHandler(literalLength, formattedCount);
        }

        public void AppendLiteral(string text) => _inner.AppendLiteral(text);

        public void AppendFormatted<T>(T value) => _inner.AppendFormatted(value);

        public string ToStringAndClear() => _inner.ToStringAndClear();
    }
}
