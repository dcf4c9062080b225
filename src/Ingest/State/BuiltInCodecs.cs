using System.Buffers;
using System.Buffers.Binary;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Unicode;

namespace DistTrain.Ingest;

/// <summary>The codecs of the types the library knows. Found once per type, by reflection; numbers are written as they lie in memory, little-endian machines only.</summary>
internal static class BuiltInCodecs
{
    internal static object? Find(Type type)
    {
        if (type == typeof(string)) return new StringCodec();
        if (type == typeof(ReadOnlyMemory<byte>)) return new MemoryCodec();
        if (type.GetInterfaces().Any(i => i.IsGenericType && i.GetGenericTypeDefinition() == typeof(IEncodable<>) && i.GenericTypeArguments[0] == type))
            return Make(typeof(EncodableCodec<>), type);
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ElementBatch<>))
            return Find(type.GenericTypeArguments[0]) is { } element ? Activator.CreateInstance(typeof(ElementBatchCodec<>).MakeGenericType(type.GenericTypeArguments), element) : null;
        // Bytes of something that has to be disposed, taken twice, would be two owners of one thing.
        if (typeof(IDisposable).IsAssignableFrom(type)) return null;
        if (OwnedParts.MustOwn(type)) return FindTuple(type, type.GetGenericTypeDefinition(), type.GenericTypeArguments);
        if (type.IsArray && type.GetArrayRank() == 1) return IsUnmanaged(type.GetElementType()!) ? Make(typeof(ArrayCodec<>), type.GetElementType()!) : null;
        if (IsUnmanaged(type)) return Make(typeof(UnmanagedCodec<>), type);
        return type.IsGenericType ? FindTuple(type, type.GetGenericTypeDefinition(), type.GenericTypeArguments) : null;
    }

    /// <summary>The default codec of <typeparamref name="T"/>, or the error that says what is missing.</summary>
    internal static ElementCodec<T> Require<T>(string operatorName, string purpose) => ElementCodec<T>.Default
        ?? throw new IngestException(operatorName, -1, SourceLocation.None,
            $"{purpose} needs elements of type {typeof(T)} as bytes: give a codec, let the type implement IEncodable, or put the operator before the Map that makes them");

    private static object? FindTuple(Type type, Type definition, Type[] parts)
    {
        if (definition != typeof(ValueTuple<,>) && definition != typeof(ValueTuple<,,>)) return null;
        object?[] codecs = [.. parts.Select(Find)];
        if (codecs.Contains(null)) return null;
        Type codec = definition == typeof(ValueTuple<,>) ? typeof(PairCodec<,>) : typeof(TripleCodec<,,>);
        return Activator.CreateInstance(codec.MakeGenericType(parts), BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public, null, codecs, null);
    }

    private static object Make(Type codec, Type element) => Activator.CreateInstance(codec.MakeGenericType(element))!;

    private static bool IsUnmanaged(Type type) =>
        type.IsValueType && !(bool)typeof(RuntimeHelpers).GetMethod(nameof(RuntimeHelpers.IsReferenceOrContainsReferences))!.MakeGenericMethod(type).Invoke(null, null)!;

    private sealed class EncodableCodec<T> : ElementCodec<T> where T : IEncodable<T>
    {
        public override void Write(IBufferWriter<byte> destination, in T element) => element.Encode(destination);

        public override T Read(ReadOnlySpan<byte> bytes) => T.Decode(bytes);
    }

    private sealed class UnmanagedCodec<T> : ElementCodec<T> where T : unmanaged
    {
        public override void Write(IBufferWriter<byte> destination, in T element) => destination.Write(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in element)));

        public override T Read(ReadOnlySpan<byte> bytes) => bytes.Length == Unsafe.SizeOf<T>()
            ? MemoryMarshal.Read<T>(bytes)
            : throw new FormatException($"{typeof(T).Name} has {Unsafe.SizeOf<T>()} bytes, found {bytes.Length}");
    }

    private sealed class ArrayCodec<T> : ElementCodec<T[]> where T : unmanaged
    {
        public override void Write(IBufferWriter<byte> destination, in T[] element)
        {
            ArgumentNullException.ThrowIfNull(element);
            destination.Write(MemoryMarshal.AsBytes(element.AsSpan()));
        }

        public override T[] Read(ReadOnlySpan<byte> bytes) => bytes.Length % Unsafe.SizeOf<T>() == 0
            ? MemoryMarshal.Cast<byte, T>(bytes).ToArray()
            : throw new FormatException($"{bytes.Length} bytes are no whole number of {typeof(T).Name}");
    }

    private sealed class StringCodec : ElementCodec<string>
    {
        // A string need not be text: what UTF-8 can't say is written as it lies, behind a byte that UTF-8 never has.
        private const byte Utf16 = 0xff;

        private static readonly UTF8Encoding s_utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

        public override void Write(IBufferWriter<byte> destination, in string element)
        {
            ArgumentNullException.ThrowIfNull(element);
            Span<byte> room = destination.GetSpan(Math.Max(1, s_utf8.GetMaxByteCount(element.Length)));
            if (Utf8.FromUtf16(element, room, out _, out int count, replaceInvalidSequences: false) == OperationStatus.Done)
            {
                destination.Advance(count);
                return;
            }
            destination.Write([Utf16]);
            destination.Write(MemoryMarshal.AsBytes(element.AsSpan()));
        }

        public override string Read(ReadOnlySpan<byte> bytes)
        {
            if (bytes.IsEmpty || bytes[0] != Utf16) return s_utf8.GetString(bytes);
            return bytes.Length % 2 == 1 ? new string(MemoryMarshal.Cast<byte, char>(bytes[1..])) : throw new FormatException($"{bytes.Length} bytes are no whole number of characters");
        }
    }

    private sealed class MemoryCodec : ElementCodec<ReadOnlyMemory<byte>>
    {
        public override void Write(IBufferWriter<byte> destination, in ReadOnlyMemory<byte> element) => destination.Write(element.Span);

        public override ReadOnlyMemory<byte> Read(ReadOnlySpan<byte> bytes) => bytes.ToArray();
    }

    private sealed class PairCodec<T1, T2>(ElementCodec<T1> first, ElementCodec<T2> second) : ElementCodec<(T1, T2)>
    {
        public override void Write(IBufferWriter<byte> destination, in (T1, T2) element)
        {
            WritePart(destination, first, element.Item1);
            second.Write(destination, element.Item2);
        }

        public override (T1, T2) Read(ReadOnlySpan<byte> bytes) => (ReadPart(ref bytes, first), second.Read(bytes));
    }

    private sealed class TripleCodec<T1, T2, T3>(ElementCodec<T1> first, ElementCodec<T2> second, ElementCodec<T3> third) : ElementCodec<(T1, T2, T3)>
    {
        public override void Write(IBufferWriter<byte> destination, in (T1, T2, T3) element)
        {
            WritePart(destination, first, element.Item1);
            WritePart(destination, second, element.Item2);
            third.Write(destination, element.Item3);
        }

        public override (T1, T2, T3) Read(ReadOnlySpan<byte> bytes)
        {
            T1 one = ReadPart(ref bytes, first);
            T2 two = ReadPart(ref bytes, second);
            return (one, two, third.Read(bytes));
        }
    }

    private static void WritePart<T>(IBufferWriter<byte> destination, ElementCodec<T> codec, in T part)
    {
        ArrayBufferWriter<byte> bytes = new();
        codec.Write(bytes, part);
        BinaryPrimitives.WriteInt32LittleEndian(destination.GetSpan(4), bytes.WrittenCount);
        destination.Advance(4);
        destination.Write(bytes.WrittenSpan);
    }

    private static T ReadPart<T>(ref ReadOnlySpan<byte> bytes, ElementCodec<T> codec)
    {
        int length = BinaryPrimitives.ReadInt32LittleEndian(bytes);
        T part = codec.Read(bytes.Slice(4, length));
        bytes = bytes[(4 + length)..];
        return part;
    }
}
