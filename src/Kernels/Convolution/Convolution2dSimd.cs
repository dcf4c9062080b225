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

    private static void RunFlat<TActivation>(
        CpuDevice cpu, ExecutionStream stream, in FlatPlan plan, Tensor target, Tensor source, Tensor weight, Tensor? bias)
        where TActivation : unmanaged, IUnaryOperator
    {
        using Tensor packed = FlatWeights.Pack(stream, cpu, plan, weight, out FlatWeights weights);
        using Tensor scratch = ScratchSlots.Allocate(stream, cpu, FlatKernel<TActivation>.SlotElementCount(plan), out ScratchSlots slots);
        cpu.Run(
            new FlatKernel<TActivation>
            {
                Plan = plan, Weights = weights, Slots = slots, Target = (float*)target.Pointer, Source = (float*)source.Pointer,
                Bias = bias is null ? null : (float*)bias.Pointer,
            },
            plan.ItemCount);
    }
}
