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
        Variable? gradient = tape.Records(logits) ? tape.Allocate(logits.Shape) : null;
        CrossEntropy.Forward(tape.Stream, loss.Value, gradient?.Value, logits.Value, labels, options);
        return gradient is null ? loss : LossFunction.Record(loss, logits, gradient);
    }

    /// <summary>As above with probabilities [..., classes] as targets instead of classes.</summary>
    public static Variable ApplySoft(Variable logits, Tensor targets)
    {
        ArgumentNullException.ThrowIfNull(logits);
        GradientTape tape = logits.Tape;
        Variable loss = tape.Allocate(default);
        Variable? gradient = tape.Records(logits) ? tape.Allocate(logits.Shape) : null;
        CrossEntropy.ForwardSoft(tape.Stream, loss.Value, gradient?.Value, logits.Value, targets);
        return gradient is null ? loss : LossFunction.Record(loss, logits, gradient);
    }
}
