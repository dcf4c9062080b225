namespace DistTrain.Ingest;

/// <summary>What streams with one input share: index, source and disposal are the input's unless overridden; the state is the operator's name and the input's.</summary>
internal abstract class UnaryStream<TIn, TOut>(string name, ElementStream<TIn> input) : ElementStream<TOut>
{
    public override long ElementIndex => Input.ElementIndex;

    public override SourceLocation Source => Input.Source;

    protected ElementStream<TIn> Input { get; } = input;

    protected string Name { get; } = name;

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        Input.Save(writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        Input.Restore(reader);
    }

    protected override void Dispose(bool disposing) => Input.Dispose();

    /// <summary>An error of this operator's at the element last taken from the input.</summary>
    protected IngestException Error(string problem) => new(Name, Input.ElementIndex, Input.Source, problem);
}
