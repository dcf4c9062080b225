using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>No elements.</summary>
internal sealed class EmptyStream<T> : ElementStream<T>
{
    internal static EmptyStream<T> Instance { get; } = new();

    public override long ElementIndex => -1;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        element = default;
        return false;
    }

    public override void Save(StateWriter writer) => writer.WriteOperator("Empty");

    public override void Restore(StateReader reader) => reader.ReadOperator("Empty");

    protected override void Dispose(bool disposing)
    {
    }
}
