using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Scalar losses: means over the batch.</summary>
public static class Losses
{
    /// <summary>Cross-entropy of logits [..., classes] and i32 labels [...].</summary>
    public static Variable CrossEntropy(Variable logits, Tensor labels) => CrossEntropyFunction.Apply(logits, labels);

    /// <summary>Cross-entropy with label smoothing and an ignored label.</summary>
    public static Variable CrossEntropy(Variable logits, Tensor labels, in CrossEntropyOptions options) => CrossEntropyFunction.Apply(logits, labels, options);

    /// <summary>Cross-entropy of logits and probabilities, both [..., classes].</summary>
    public static Variable SoftCrossEntropy(Variable logits, Tensor targets) => CrossEntropyFunction.ApplySoft(logits, targets);
}
