namespace DistTrain.Kernels;

/// <summary>The CPU path: plans, packs and runs the vector kernels. Work memory comes from the device's pool.</summary>
internal static unsafe class Convolution2dSimd
{
    public static void Forward<TActivation>(
        CpuDevice cpu, ExecutionStream stream, Tensor output, Tensor input, Tensor weight, Tensor? bias, in ConvolutionGeometry geometry)
        where TActivation : unmanaged, IUnaryOperator
    {
        FlatPlan plan = FlatPlan.Forward(geometry, cpu.Team.ThreadCount);
        RunFlat<TActivation>(cpu, stream, plan, output, input, weight, bias);
    }

    public static void BackwardInput(
        CpuDevice cpu, ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor weight, in ConvolutionGeometry geometry)
    {
        FlatPlan plan = FlatPlan.BackwardInput(geometry, cpu.Team.ThreadCount);
        RunFlat<IdentityOperator>(cpu, stream, plan, dInput, dOutput, weight, null);
    }

    public static void BackwardWeight(
        CpuDevice cpu, ExecutionStream stream, Tensor dWeight, Tensor? dBias, Tensor dOutput, Tensor input,
        in ConvolutionGeometry geometry, bool accumulate)
    {
        int vectorCount = cpu.InstructionSet switch { InstructionSet.Avx512 => 16, InstructionSet.Avx2 => 8, _ => 4 };
        // Vectors over so few output channels would be half empty, or worse.
        if (geometry.OutputChannels <= vectorCount / 2) RunNarrow(cpu, stream, dWeight, dBias, dOutput, input, geometry, accumulate);
        else RunWide(cpu, stream, dWeight, dBias, dOutput, input, WeightGradientPlan.Of(geometry, vectorCount), accumulate);
    }

    private static void RunWide(
        CpuDevice cpu, ExecutionStream stream, Tensor dWeight, Tensor? dBias, Tensor dOutput, Tensor input,
        in WeightGradientPlan plan, bool accumulate)
    {
        using Tensor offsets = Tensor.Allocate(stream, new Shape(plan.ChunkTaps), DType.I32);
        plan.WriteOffsets((int*)offsets.Pointer);
        using Tensor sums = Tensor.Allocate(stream, new Shape(plan.ItemCount, checked((int)plan.SumElementCount)));
        using Tensor biasSums = Tensor.Allocate(stream, new Shape(plan.BlockCount * plan.Geometry.Groups, plan.PaddedOutputs));
        using Tensor scratch = AllocateSlots(stream, cpu, WeightGradientKernel.SlotElementCount(plan), out ScratchSlots slots);
        cpu.Run(
            new WeightGradientKernel
            {
                Plan = plan, Slots = slots, Offsets = (int*)offsets.Pointer, Input = (float*)input.Pointer, Gradients = (float*)dOutput.Pointer,
                Sums = (float*)sums.Pointer, BiasSums = dBias is null ? null : (float*)biasSums.Pointer,
            },
            plan.ItemCount);
        WeightGradientSum sum = new()
        {
            Plan = plan, Weight = (float*)dWeight.Pointer, Bias = dBias is null ? null : (float*)dBias.Pointer,
            Sums = (float*)sums.Pointer, BiasSums = (float*)biasSums.Pointer, Accumulate = accumulate,
        };
        cpu.Run(sum, sum.ItemCount);
    }

    private static void RunNarrow(
        CpuDevice cpu, ExecutionStream stream, Tensor dWeight, Tensor? dBias, Tensor dOutput, Tensor input,
        in ConvolutionGeometry geometry, bool accumulate)
    {
        FlatPlan plan = FlatPlan.Forward(geometry, threadCount: 1);
        int blocks = NarrowWeightGradient.BlockCountOf(plan);
        using Tensor offsets = Tensor.Allocate(stream, new Shape(2 * plan.TapCount), DType.I32);
        plan.WriteTaps(0, 0, (int*)offsets.Pointer, (int*)offsets.Pointer + plan.TapCount);
        using Tensor sums = Tensor.Allocate(stream, new Shape(blocks, checked((int)dWeight.ElementCount)));
        using Tensor biasSums = Tensor.Allocate(stream, new Shape(blocks, plan.Groups * plan.TargetChannels));
        using Tensor scratch = AllocateSlots(stream, cpu, NarrowWeightGradient.SlotElementCount(plan), out ScratchSlots slots);
        NarrowWeightGradient kernel = new()
        {
            Plan = plan, Slots = slots, BlockCount = blocks, Offsets = (int*)offsets.Pointer, Input = (float*)input.Pointer,
            Gradients = (float*)dOutput.Pointer, Sums = (float*)sums.Pointer, BiasSums = (float*)biasSums.Pointer,
        };
        cpu.Run(kernel, kernel.ItemCount);
        NarrowWeightGradientSum sum = new()
        {
            Blocks = kernel, Weight = (float*)dWeight.Pointer, Bias = dBias is null ? null : (float*)dBias.Pointer, Accumulate = accumulate,
        };
        cpu.Run(sum, plan.Groups);
    }

    private static void RunFlat<TActivation>(
        CpuDevice cpu, ExecutionStream stream, in FlatPlan plan, Tensor target, Tensor source, Tensor weight, Tensor? bias)
        where TActivation : unmanaged, IUnaryOperator
    {
        using Tensor packed = FlatWeights.Pack(stream, cpu, plan, weight, out FlatWeights weights);
        using Tensor scratch = AllocateSlots(stream, cpu, FlatKernel<TActivation>.SlotElementCount(plan), out ScratchSlots slots);
        cpu.Run(
            new FlatKernel<TActivation>
            {
                Plan = plan, Weights = weights, Slots = slots, Target = (float*)target.Pointer, Source = (float*)source.Pointer,
                Bias = bias is null ? null : (float*)bias.Pointer,
            },
            plan.ItemCount);
    }

    /// <summary>Work memory for every thread that may run items at once. Dispose it after the job.</summary>
    private static Tensor AllocateSlots(ExecutionStream stream, CpuDevice cpu, long elementCount, out ScratchSlots slots)
    {
        int threads = cpu.Team.ThreadCount;
        Tensor memory = Tensor.Allocate(stream, new Shape(checked((int)(ScratchSlots.ByteCount(threads, elementCount) / sizeof(float)))));
        slots = new ScratchSlots((byte*)memory.Pointer, threads, elementCount);
        slots.Initialize();
        return memory;
    }
}
