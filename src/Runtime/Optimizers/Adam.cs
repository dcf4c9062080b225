using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Adam (Kingma and Ba 2014, arXiv 1412.6980), and with decoupled weight decay AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101), by
/// PyTorch's rules and defaults. Bias correction counts the optimizer's steps, also for a parameter that had no gradient in some.
/// </summary>
public class Adam(IEnumerable<Parameter> parameters, float beta1 = 0.9f, float beta2 = 0.999f, float epsilon = 1e-8f, float weightDecay = 0) : Optimizer(parameters, "moment1", "moment2")
{
    private protected virtual bool DecouplesWeightDecay => false;

    /// <inheritdoc/>
    protected override void Update(ExecutionStream stream, Tensor parameter, Tensor gradient, Tensor?[] state, float learningRate)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        ArgumentNullException.ThrowIfNull(state);
        Tensor moment1 = state[0] ??= Tensor.Zeros(stream, parameter.Shape), moment2 = state[1] ??= Tensor.Zeros(stream, parameter.Shape);
        AdamUpdate.Apply(stream, parameter, moment1, moment2, gradient,
            new AdamOptions(learningRate, beta1, beta2, epsilon, weightDecay, DecouplesWeightDecay, checked((int)StepCount)));
    }
}
