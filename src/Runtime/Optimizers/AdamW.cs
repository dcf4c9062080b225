namespace DistTrain.Runtime;

/// <summary>Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv 1711.05101): the weights shrink by learning rate times decay a step.</summary>
public sealed class AdamW(IEnumerable<Parameter> parameters, float beta1 = 0.9f, float beta2 = 0.999f, float epsilon = 1e-8f, float weightDecay = 0.01f)
    : Adam(parameters, beta1, beta2, epsilon, weightDecay)
{
    private protected override bool DecouplesWeightDecay => true;
}
