namespace DistTrain.Kernels;

/// <summary>The reference's loops for the moment.</summary>
internal static class BatchNormSimd
{
    public static void Forward(CpuDevice cpu, ChannelLayout layout, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor scale, Tensor shift, float epsilon) =>
        BatchNormReference.Forward(layout, output, mean, inverseStd, input, scale, shift, epsilon);

    public static void ForwardInference(CpuDevice cpu, ChannelLayout layout, Tensor output, Tensor input, Tensor runningMean, Tensor runningVariance, Tensor scale, Tensor shift, float epsilon) =>
        BatchNormReference.ForwardInference(layout, output, input, runningMean, runningVariance, scale, shift, epsilon);

    public static void Backward(CpuDevice cpu, ChannelLayout layout, Tensor dInput, Tensor dScale, Tensor dShift, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor scale, bool accumulate) =>
        BatchNormReference.Backward(layout, dInput, dScale, dShift, dOutput, input, mean, inverseStd, scale, accumulate);
}
