using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Rows of a table by index.</summary>
public sealed class EmbeddingFunction : Function
{
    private readonly Variable _indices;
    private readonly Parameter _table;

    private EmbeddingFunction(Variable indices, Parameter table)
    {
        _indices = Save(indices);
        _table = table;
        Use(table);
    }

    /// <summary>Looks up i32 indices [...] in a table [V, D]: [..., D].</summary>
    public static Variable Apply(Variable indices, Parameter table)
    {
        ArgumentNullException.ThrowIfNull(indices);
        ArgumentNullException.ThrowIfNull(table);
        GradientTape tape = indices.Tape;
        Variable output = tape.Allocate(new Shape([.. indices.Shape.Dimensions, table.Shape[1]]));
        Embedding.Forward(tape.Stream, output.Value, indices.Value, table.Value);
        return tape.Records(table) ? tape.Record(output, new EmbeddingFunction(indices, table)) : output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
    }

    /// <inheritdoc/>
    protected internal override void BackwardWeight(GradientStore gradients)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        if (gradients.TryTarget(Stream, _table, out Tensor target, out bool accumulate))
            Embedding.BackwardWeight(Stream, target, OutputGradient, _indices.Value, accumulate);
    }
}
