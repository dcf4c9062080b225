namespace DistTrain.Kernels;

/// <summary>The update in double precision, element by element.</summary>
internal static class SgdReference
{
    public static void Apply(Tensor parameter, Tensor? momentumBuffer, Tensor gradient, in SgdOptions options)
    {
        Span<float> parameters = parameter.AsSpan<float>(), gradients = gradient.AsSpan<float>();
        Span<float> buffers = momentumBuffer is null ? [] : momentumBuffer.AsSpan<float>();
        for (int i = 0; i < parameters.Length; i++)
        {
            double g = gradients[i] + ((double)options.WeightDecay * parameters[i]), direction = g;
            if (buffers.Length > 0)
            {
                double buffer = options.IsFirstStep ? g : ((double)options.Momentum * buffers[i]) + g;
                direction = options.Nesterov ? g + (options.Momentum * buffer) : buffer;
                buffers[i] = (float)buffer;
            }
            parameters[i] = (float)(parameters[i] - (options.LearningRate * direction));
        }
    }
}
