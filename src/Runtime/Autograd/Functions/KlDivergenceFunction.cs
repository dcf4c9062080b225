using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The mean over rows of KL(softmax(teacher / T) || softmax(student / T)), without the factor T².</summary>
public static class KlDivergenceFunction
{
    /// <summary>The divergence as a scalar; the teacher gets no gradient.</summary>
    /// <param name="student">Logits [..., classes].</param>
    /// <param name="teacher">Logits of the same shape; only read, stays the caller's.</param>
    /// <param name="temperature">T.</param>
    public static Variable Apply(Variable student, Tensor teacher, float temperature = 1)
    {
        ArgumentNullException.ThrowIfNull(student);
        GradientTape tape = student.Tape;
        Variable loss = tape.Allocate(default);
        Variable? gradient = tape.Records(student) ? tape.Allocate(student.Shape) : null;
        KlDivergence.Forward(tape.Stream, loss.Value, gradient?.Value, student.Value, teacher, temperature);
        return gradient is null ? loss : LossFunction.Record(loss, student, gradient);
    }
}
