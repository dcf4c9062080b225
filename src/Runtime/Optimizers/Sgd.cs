using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Stochastic gradient descent with momentum, by PyTorch's rule: the buffer is the gradient at the first step; weight decay is added to the gradient.</summary>
public sealed class Sgd(IEnumerable<Parameter> parameters, float momentum = 0, float weightDecay = 0, bool nesterov = false) : Optimizer(parameters, "momentum")
{
    /// <inheritdoc/>
    protected override void Update(ExecutionStream stream, Tensor parameter, Tensor gradient, Tensor?[] state, float learningRate)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        ArgumentNullException.ThrowIfNull(state);
        bool isFirst = state[0] is null;
        if (momentum != 0) state[0] ??= Tensor.Allocate(stream, parameter.Shape);
        SgdUpdate.Apply(stream, parameter, state[0], gradient, new SgdOptions(learningRate, momentum, weightDecay, nesterov, isFirst));
    }
}
