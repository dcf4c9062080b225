using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Cross-entropy of logits, with its gradient from the same kernel.</summary>
public static class CrossEntropyFunction
{
    /// <summary>The mean over the rows that are not ignored, as a scalar.</summary>
    /// <param name="logits">[..., classes].</param>
    /// <param name="labels">i32 [...]; only read, stays the caller's.</param>
    /// <param name="options">Label smoothing and ignored label.</param>
    public static Variable Apply(Variable logits, Tensor labels, in CrossEntropyOptions options = default)
    {
        ArgumentNullException.ThrowIfNull(logits);
        GradientTape tape = logits.Tape;
        Variable loss = tape.Allocate(default);
        if (!tape.Records(logits))
        {
            CrossEntropy.Forward(tape.Stream, loss.Value, null, logits.Value, labels, options);
            return loss;
        }
        Variable gradient = tape.Allocate(logits.Shape);
        CrossEntropy.Forward(tape.Stream, loss.Value, gradient.Value, logits.Value, labels, options);
        return LossFunction.Record(loss, logits, gradient);
    }

    /// <summary>As above with probabilities [..., classes] as targets instead of classes.</summary>
    public static Variable ApplySoft(Variable logits, Tensor targets)
    {
        ArgumentNullException.ThrowIfNull(logits);
        GradientTape tape = logits.Tape;
        Variable loss = tape.Allocate(default);
        if (!tape.Records(logits))
        {
            CrossEntropy.ForwardSoft(tape.Stream, loss.Value, null, logits.Value, targets);
            return loss;
        }
        Variable gradient = tape.Allocate(logits.Shape);
        CrossEntropy.ForwardSoft(tape.Stream, loss.Value, gradient.Value, logits.Value, targets);
        return LossFunction.Record(loss, logits, gradient);
    }
}
