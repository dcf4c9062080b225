using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The parts of a distillation loss.</summary>
/// <param name="Total">What is minimised: (1 - α) hard + α T² soft; a scalar with a gradient.</param>
/// <param name="Components">[3]: total, hard, soft; without a gradient, kept until the tape is disposed.</param>
public readonly record struct DistillationTerms(Variable Total, Variable Components);

/// <summary>The loss of knowledge distillation (Hinton, Vinyals, Dean 2015, arXiv 1503.02531) in one pass over both networks' logits.</summary>
public static class DistillationFunction
{
    /// <summary>Total, hard and soft loss; the teacher gets no gradient.</summary>
    /// <param name="student">Logits [..., classes].</param>
    /// <param name="teacher">Logits of the same shape; only read, stays the caller's.</param>
    /// <param name="labels">i32 [...]; only read, stays the caller's.</param>
    /// <param name="options">α, temperature, label smoothing, ignored label.</param>
    public static DistillationTerms Apply(Variable student, Tensor teacher, Tensor labels, in DistillationOptions options)
    {
        ArgumentNullException.ThrowIfNull(student);
        GradientTape tape = student.Tape;
        Variable components = tape.Allocate(new Shape(3)).Keep();
        Variable? gradient = tape.Records(student) ? tape.Allocate(student.Shape) : null;
        DistillationLoss.Forward(tape.Stream, components.Value, gradient?.Value, student.Value, teacher, labels, options);
        using Tensor first = components.Value.Slice(0, 1);
        Variable total = tape.Adopt(first.Reshape(default));
        return new DistillationTerms(gradient is null ? total : LossFunction.Record(total, student, gradient), components);
    }
}
