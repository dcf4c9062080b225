using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>
/// Turns elements into bytes and back: for caches on disk, and for the state of operators that hold elements which can't be read again by index
/// (<c>Shuffle</c> after <c>Filter</c>, say).
/// </summary>
/// <typeparam name="T">The elements.</typeparam>
public abstract class ElementCodec<T>
{
    /// <summary>
    /// The codec for a type the library knows: numbers and other unmanaged structs, strings, arrays of unmanaged structs, <see cref="ReadOnlyMemory{T}"/> of bytes,
    /// records, tuples of two or three of these; and any type that implements <see cref="IEncodable{TSelf}"/>. Null for others.
    /// </summary>
    internal static ElementCodec<T>? Default { get; } = (ElementCodec<T>?)BuiltInCodecs.Find(typeof(T));

    /// <summary>Writes one element.</summary>
    public abstract void Write(IBufferWriter<byte> destination, in T element);

    /// <summary>Reads the element that all of <paramref name="bytes"/> stands for. The bytes are not kept.</summary>
    public abstract T Read(ReadOnlySpan<byte> bytes);
}

/// <summary>A type that can be written as bytes and read back, so that caches and states can hold it.</summary>
/// <typeparam name="TSelf">The type itself.</typeparam>
public interface IEncodable<TSelf> where TSelf : IEncodable<TSelf>
{
    /// <summary>Writes this element.</summary>
    void Encode(IBufferWriter<byte> destination);

    /// <summary>Reads the element that all of <paramref name="bytes"/> stands for.</summary>
    static abstract TSelf Decode(ReadOnlySpan<byte> bytes);
}
