namespace DistTrain.Kernels;

/// <summary>What a step of Adam or AdamW is made with; the names are PyTorch's.</summary>
/// <param name="LearningRate">The step's factor.</param>
/// <param name="Beta1">Decay of the first moment.</param>
/// <param name="Beta2">Decay of the second moment.</param>
/// <param name="Epsilon">Added to the denominator.</param>
/// <param name="WeightDecay">λ: added as λ·parameter to the gradient, or, decoupled, taken off the parameter.</param>
/// <param name="DecoupledWeightDecay">AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).</param>
/// <param name="Step">The step's number from 1 on: the bias corrections need it.</param>
public readonly record struct AdamOptions(
    float LearningRate, float Beta1 = 0.9f, float Beta2 = 0.999f, float Epsilon = 1e-8f, float WeightDecay = 0, bool DecoupledWeightDecay = false, int Step = 0);
