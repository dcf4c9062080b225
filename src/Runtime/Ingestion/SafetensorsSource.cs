using DistTrain.Ingest;

namespace DistTrain.Runtime;

/// <summary>Safetensors files as a source of elements: embeddings, features, logits of a teacher.</summary>
public static class SafetensorsSource
{
    /// <summary>
    /// The rows of a tensor: its entries along the outermost dimension, by number. Each is a slice of memory that is read in blocks, little-endian as in the file
    /// (<c>MemoryMarshal.Cast</c> makes numbers of it): dispose each. The header is read now, the rows when the run comes to them.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="tensorName">Which tensor.</param>
    /// <exception cref="SafetensorsException">The file is damaged, has no such tensor, or the tensor has no rows to give.</exception>
    /// <exception cref="IOException">It can't be read.</exception>
    public static Dataset<Record> FromSafetensors(string path, string tensorName)
    {
        using SafetensorsReader reader = SafetensorsReader.Open(path);
        SafetensorsEntry entry = reader.Require(tensorName);
        if (entry.Extents.Length == 0) throw new SafetensorsException(path, $"{entry} is a single value, which has no rows", tensorName);
        long count = entry.Extents[0], byteCount = count == 0 ? 1 : entry.ByteCount / count;
        if (byteCount == 0 || (count > 0 && entry.ByteCount % count != 0)) throw new SafetensorsException(path, $"rows of {entry} are no whole number of bytes above 0", tensorName);
        if (byteCount > Array.MaxLength / 2) throw new SafetensorsException(path, $"a row of {entry} has {byteCount:N0} bytes, at most {Array.MaxLength / 2:N0} can be held", tensorName);
        return Dataset.FromFileRegion(path, entry.Offset, (int)byteCount, count);
    }
}
