namespace DistTrain.Ingest;

/// <summary>
/// Which fields a Thrift structure has and how each must be written. A reader that trusts the declared types can be led to read a length out of the middle of a
/// text; checked against its shape first, a structure says the same to every reader. Fields that the shape does not know are passed over.
/// </summary>
internal sealed class ThriftShape
{
    private const int True = 1, False = 2, Int8Type = 3, Int16Type = 4, Int32Type = 5, Int64Type = 6, BinaryType = 8, ListType = 9, StructType = 12;

    private readonly record struct Entry(int Type, int ElementType = 0, ThriftShape? Shape = null);

    private readonly Dictionary<int, Entry> _fields = [];

    internal ThriftShape Int8(params ReadOnlySpan<int> fields) => Add(fields, new Entry(Int8Type));

    internal ThriftShape Int16(params ReadOnlySpan<int> fields) => Add(fields, new Entry(Int16Type));

    internal ThriftShape Int32(params ReadOnlySpan<int> fields) => Add(fields, new Entry(Int32Type));

    internal ThriftShape Int64(params ReadOnlySpan<int> fields) => Add(fields, new Entry(Int64Type));

    internal ThriftShape Flag(params ReadOnlySpan<int> fields) => Add(fields, new Entry(True));

    internal ThriftShape Binary(params ReadOnlySpan<int> fields) => Add(fields, new Entry(BinaryType));

    internal ThriftShape Structure(int field, ThriftShape shape) => Add([field], new Entry(StructType, 0, shape));

    internal ThriftShape List(int field, ThriftShape shape) => Add([field], new Entry(ListType, StructType, shape));

    internal ThriftShape Int32List(int field) => Add([field], new Entry(ListType, Int32Type));

    internal ThriftShape Int64List(int field) => Add([field], new Entry(ListType, Int64Type));

    internal ThriftShape BinaryList(int field) => Add([field], new Entry(ListType, BinaryType));

    /// <summary>Passes over a structure of this shape.</summary>
    /// <exception cref="InvalidDataException">It has another shape.</exception>
    internal void Check(ref ThriftReader reader)
    {
        int field = 0;
        while (reader.TryField(ref field, out int type))
        {
            if (!_fields.TryGetValue(field, out Entry entry)) reader.Skip(type, 1);
            else CheckField(ref reader, field, type, entry);
        }
    }

    private static void CheckField(ref ThriftReader reader, int field, int type, Entry entry)
    {
        if (type != entry.Type && (entry.Type != True || type != False)) throw new InvalidDataException($"field {field} is of type {type}, expected {entry.Type}");
        if (type == ListType) CheckList(ref reader, field, entry);
        else CheckValue(ref reader, type, entry);
    }

    private static void CheckList(ref ThriftReader reader, int field, Entry entry)
    {
        int count = reader.ReadListHeader(out int elementType);
        if (elementType != entry.ElementType && count > 0) throw new InvalidDataException($"the list of field {field} holds type {elementType}, expected {entry.ElementType}");
        for (int i = 0; i < count; i++) CheckValue(ref reader, elementType, entry);
    }

    private static void CheckValue(ref ThriftReader reader, int type, Entry entry)
    {
        if (type == StructType) entry.Shape!.Check(ref reader);
        else if (type != Int32Type) reader.Skip(type);
        else if (reader.ReadInt64() is long value && value != (int)value) throw new InvalidDataException($"the 32-bit number {value}");
    }

    private ThriftShape Add(ReadOnlySpan<int> fields, Entry entry)
    {
        foreach (int field in fields) _fields.Add(field, entry);
        return this;
    }
}
