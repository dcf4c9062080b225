namespace DistTrain.Kernels;

/// <summary>The update in double precision, element by element.</summary>
internal static class AdamReference
{
    public static void Apply(Tensor parameter, Tensor firstMoment, Tensor secondMoment, Tensor gradient, in AdamOptions options)
    {
        Span<float> parameters = parameter.AsSpan<float>(), gradients = gradient.AsSpan<float>();
        Span<float> first = firstMoment.AsSpan<float>(), second = secondMoment.AsSpan<float>();
        double correction1 = 1 - Math.Pow(options.Beta1, options.Step), correction2 = 1 - Math.Pow(options.Beta2, options.Step);
        for (int i = 0; i < parameters.Length; i++)
        {
            double p = parameters[i], g = gradients[i];
            if (options.DecoupledWeightDecay) p -= (double)options.LearningRate * options.WeightDecay * p;
            else g += (double)options.WeightDecay * p;
            double m = ((double)options.Beta1 * first[i]) + ((1 - (double)options.Beta1) * g);
            double v = ((double)options.Beta2 * second[i]) + ((1 - (double)options.Beta2) * g * g);
            first[i] = (float)m;
            second[i] = (float)v;
            parameters[i] = (float)(p - (options.LearningRate / correction1 * m / (Math.Sqrt(v / correction2) + options.Epsilon)));
        }
    }
}
