namespace DistTrain.Ingest;

/// <summary>
/// The selected columns of one decoded row group. Counted: its memory goes back to the library's pool when it has left the cache and nobody reads it any more.
/// </summary>
internal sealed class ParquetRowGroup(string file, int number, long firstRow, long offset, ParquetColumn[] columns, long byteCount)
{
    // One for the cache; changed under the cache's lock.
    private int _users = 1;

    internal string File => file;

    /// <summary>Which row group of its file.</summary>
    internal int Number => number;

    /// <summary>The file's rows before it.</summary>
    internal long FirstRow => firstRow;

    /// <summary>Where its data start in the file.</summary>
    internal long Offset => offset;

    internal ParquetColumn[] Columns => columns;

    internal long ByteCount => byteCount;

    internal void Retain() => _users++;

    internal void Release()
    {
        if (--_users > 0) return;
        foreach (ParquetColumn column in columns) column.Dispose();
    }
}
