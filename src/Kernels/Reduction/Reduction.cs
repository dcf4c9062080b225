namespace DistTrain.Kernels;

/// <summary>
/// Reductions over any set of dimensions, and their gradients. All f32. Dimensions may be negative (-1 is the innermost); none named
/// means all. The output has the input's shape with the reduced dimensions removed or kept with extent 1; it is overwritten. Addends are
/// taken in fixed blocks and combined in a fixed tree, so results never depend on the number of threads. NaN gives NaN. Enqueues and returns.
/// </summary>
public static partial class Reduction
{
    /// <summary>The sum. Of no elements: 0.</summary>
    /// <exception cref="ShapeException">The output's shape is not the reduced one, or a dimension is named twice or does not exist.</exception>
    public static void Sum(ExecutionStream stream, Tensor output, Tensor input, params ReadOnlySpan<int> dimensions) =>
        Sum(stream, output, input, false, dimensions);

    /// <summary>The sum, added to the output if <paramref name="accumulate"/>, else overwriting it.</summary>
    /// <exception cref="ShapeException">As above.</exception>
    public static void Sum(ExecutionStream stream, Tensor output, Tensor input, bool accumulate, params ReadOnlySpan<int> dimensions) =>
        Run("sum", stream, output, input, dimensions, default(SumReducer), accumulate, isMean: false);

    /// <summary>The arithmetic mean. Of no elements: NaN.</summary>
    /// <exception cref="ShapeException">As above.</exception>
    public static void Mean(ExecutionStream stream, Tensor output, Tensor input, params ReadOnlySpan<int> dimensions) =>
        Run("mean", stream, output, input, dimensions, default(SumReducer), accumulate: false, isMean: true);

    /// <summary>The greatest element.</summary>
    /// <exception cref="ShapeException">As above, or there are no elements to reduce.</exception>
    public static void Max(ExecutionStream stream, Tensor output, Tensor input, params ReadOnlySpan<int> dimensions) =>
        Run("max", stream, output, input, dimensions, default(MaxReducer), accumulate: false, isMean: false);

    /// <summary>The Euclidean norm √(Σx²). Squares are taken in f32: infinite beyond about 1.8e19.</summary>
    /// <exception cref="ShapeException">As above.</exception>
    public static void Norm(ExecutionStream stream, Tensor output, Tensor input, params ReadOnlySpan<int> dimensions) =>
        Run("norm", stream, output, input, dimensions, default(NormReducer), accumulate: false, isMean: false);

    /// <summary>
    /// output[...] = scale * input[kept dimensions]: the gradient of Sum (scale 1) and of Mean (scale 1 / elements reduced).
    /// <paramref name="dimensions"/> are those of the output that the input lacks or has with extent 1.
    /// </summary>
    /// <exception cref="ShapeException">The input's shape is not the output's reduced over the dimensions.</exception>
    public static void Broadcast(ExecutionStream stream, Tensor output, Tensor input, float scale, params ReadOnlySpan<int> dimensions)
    {
        const string Operation = "broadcast";
        Check.Operand(Operation, stream, output);
        Check.Operand(Operation, stream, input);
        uint mask = Mask(Operation, output.Shape, dimensions);
        Check.Rule(Operation, IsReduced(input.Shape, output.Shape, mask),
            $"input has shape {input.Shape}, expected {Expected(output.Shape, mask)} for the output {output.Shape}");
        if (output.ElementCount == 0) return;
        ReductionLayout layout = new(output.Shape, mask);
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: ReductionReference.Broadcast(output, input, scale, layout); break;
            case CpuDevice cpu: BroadcastSimd.Run(cpu, output, input, scale, layout); break;
            case GpuDevice gpu: BroadcastGpu.Run(gpu, stream, output, input, scale, layout); break;
        }
    }

    /// <summary>
    /// The gradient of <see cref="Max"/>: dInput is dOutput where the maximum lies (the first in row-major order; the first NaN where
    /// there is one) and 0 elsewhere. <paramref name="output"/> is what Max gave.
    /// </summary>
    /// <exception cref="ShapeException">As for Max.</exception>
    public static void MaxBackward(ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor input, Tensor output, params ReadOnlySpan<int> dimensions)
    {
        const string Operation = "max backward";
        Check.Operand(Operation, stream, dInput);
        Check.Operand(Operation, stream, input, dInput.Shape);
        Check.Operand(Operation, stream, output);
        Check.Operand(Operation, stream, dOutput, output.Shape);
        uint mask = Mask(Operation, input.Shape, dimensions);
        Check.Rule(Operation, IsReduced(output.Shape, input.Shape, mask),
            $"output has shape {output.Shape}, expected {Expected(input.Shape, mask)} for the input {input.Shape}");
        if (input.ElementCount == 0) return;
        ReductionLayout layout = new(input.Shape, mask);
        dInput.Clear(stream);
        switch (stream.Device)
        {
            case CpuDevice cpu: MaxBackwardSimd.Run(cpu, dInput, dOutput, input, output, layout); break;
            case GpuDevice gpu: MaxBackwardGpu.Run(gpu, stream, dInput, dOutput, input, output, layout); break;
        }
    }

    private static void Run<TReducer>(string operation, ExecutionStream stream, Tensor output, Tensor input, ReadOnlySpan<int> dimensions,
        TReducer _, bool accumulate, bool isMean) where TReducer : unmanaged, IReducer
    {
        Check.Operand(operation, stream, output);
        Check.Operand(operation, stream, input);
        uint mask = Mask(operation, input.Shape, dimensions);
        Check.Rule(operation, IsReduced(output.Shape, input.Shape, mask),
            $"output has shape {output.Shape}, expected {Expected(input.Shape, mask)} for the input {input.Shape}");
        if (output.ElementCount == 0) return;
        ReductionLayout layout = new(input.Shape, mask);
        Check.Rule(operation, layout.ReducedCount > 0 || typeof(TReducer) != typeof(MaxReducer), $"input {input.Shape} has no elements to reduce");
        Dispatch<TReducer>(stream, output, input, layout, isMean ? layout.ReducedCount : 1f, accumulate);
    }

    private static void Dispatch<TReducer>(ExecutionStream stream, Tensor output, Tensor input, ReductionLayout layout, float divisor, bool accumulate)
        where TReducer : unmanaged, IReducer
    {
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: ReductionReference.Run<TReducer>(output, input, layout, divisor, accumulate); break;
            case CpuDevice cpu: ReductionSimd.Run<TReducer>(cpu, stream, output, input, layout, divisor, accumulate); break;
            case GpuDevice gpu: ReductionGpu.Run<TReducer>(gpu, stream, output, input, layout, divisor, accumulate); break;
        }
    }

    /// <summary>Reduces all elements by another rule into an output of one element. The caller has checked the operands.</summary>
    internal static void All<TReducer>(ExecutionStream stream, Tensor output, Tensor input) where TReducer : unmanaged, IReducer =>
        Dispatch<TReducer>(stream, output, input, new ReductionLayout(input.Shape, uint.MaxValue), 1f, accumulate: false);

    private static uint Mask(string operation, Shape shape, ReadOnlySpan<int> dimensions)
    {
        if (dimensions.Length == 0) return uint.MaxValue;
        uint mask = 0;
        foreach (int dimension in dimensions)
        {
            int index = dimension < 0 ? dimension + shape.DimensionCount : dimension;
            Check.Rule(operation, (uint)index < (uint)shape.DimensionCount, $"{shape} has no dimension {dimension}");
            Check.Rule(operation, (mask >> index & 1) == 0, $"dimension {dimension} of {shape} is named twice");
            mask |= 1u << index;
        }
        return mask;
    }

    private static bool IsReduced(Shape reduced, Shape whole, uint mask)
    {
        bool isKept = reduced.DimensionCount == whole.DimensionCount, isRemoved = true;
        int next = 0;
        for (int dimension = 0; dimension < whole.DimensionCount; dimension++)
        {
            bool isReduced = (mask >> dimension & 1) != 0;
            if (isKept && reduced[dimension] != (isReduced ? 1 : whole[dimension])) isKept = false;
            if (isReduced) continue;
            if (next >= reduced.DimensionCount || reduced[next] != whole[dimension]) isRemoved = false;
            next++;
        }
        return isKept || (isRemoved && next == reduced.DimensionCount);
    }

    private static string Expected(Shape whole, uint mask)
    {
        int[] kept = [.. Enumerable.Range(0, whole.DimensionCount).Select(d => (mask >> d & 1) != 0 ? 1 : whole[d])];
        int[] removed = [.. Enumerable.Range(0, whole.DimensionCount).Where(d => (mask >> d & 1) == 0).Select(d => whole[d])];
        return removed.Length == kept.Length ? $"{whole}" : $"{new Shape(removed)} or {new Shape(kept)}";
    }
}
