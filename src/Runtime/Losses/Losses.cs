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

    /// <summary>KL(softmax(teacher / T) || softmax(student / T)) of logits [..., classes], without the factor T².</summary>
    public static Variable KlDivergence(Variable student, Tensor teacher, float temperature = 1) => KlDivergenceFunction.Apply(student, teacher, temperature);

    /// <summary>The loss of knowledge distillation: hard labels and a teacher's logits.</summary>
    public static DistillationTerms Distillation(Variable student, Tensor teacher, Tensor labels, in DistillationOptions options) =>
        DistillationFunction.Apply(student, teacher, labels, options);

    /// <summary>The mean of (prediction - target)² over all elements.</summary>
    public static Variable MeanSquaredError(Variable prediction, Tensor target)
    {
        ArgumentNullException.ThrowIfNull(prediction);
        Variable difference = AddFunction.Subtract(prediction, prediction.Tape.Input(target));
        return ReductionFunction.Mean(MultiplyFunction.Apply(difference, difference));
    }
}
