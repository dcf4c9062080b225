namespace DistTrain.Ingest;

/// <summary>Makes an element of a record: text formats and archives on top of framed files. What is wrong with a record it says with file and byte.</summary>
internal abstract class RecordParser<T> : ElementFunction<Record, T>
{
    internal sealed override bool NeedsContext => false;

    internal sealed override bool Explains(Exception thrown) => thrown is DataFormatException;
}
