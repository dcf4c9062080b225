namespace DistTrain.Kernels;

/// <summary>What a step of stochastic gradient descent is made with; the names are PyTorch's.</summary>
/// <param name="LearningRate">The step's factor.</param>
/// <param name="Momentum">μ: the share of the buffer that stays from step to step; 0 needs no buffer.</param>
/// <param name="WeightDecay">λ: λ·parameter is added to the gradient.</param>
/// <param name="Nesterov">Looks one momentum step ahead; needs momentum.</param>
/// <param name="IsFirstStep">The buffer's contents are taken as undefined: it becomes the gradient.</param>
public readonly record struct SgdOptions(float LearningRate, float Momentum = 0, float WeightDecay = 0, bool Nesterov = false, bool IsFirstStep = false);
