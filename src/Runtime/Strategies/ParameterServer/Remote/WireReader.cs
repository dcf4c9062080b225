using System.Buffers.Binary;
using System.Text;

namespace DistTrain.Runtime;

/// <summary>Reads a message's body. Whatever does not fit is an error, and takes no memory before.</summary>
internal ref struct WireReader(ReadOnlySpan<byte> bytes)
{
    private static readonly UTF8Encoding s_strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
    private ReadOnlySpan<byte> _rest = bytes;

    internal readonly int Left => _rest.Length;

    internal byte Byte() => Take(1)[0];

    internal int Int32() => BinaryPrimitives.ReadInt32LittleEndian(Take(sizeof(int)));

    internal long Int64() => BinaryPrimitives.ReadInt64LittleEndian(Take(sizeof(long)));

    internal ReadOnlySpan<byte> Take(int count)
    {
        if (count > _rest.Length) throw new ParameterProtocolException($"a message ends {count - _rest.Length:N0} bytes too early");
        ReadOnlySpan<byte> taken = _rest[..count];
        _rest = _rest[count..];
        return taken;
    }

    /// <summary>How many items of a least size follow: never more than there are bytes for.</summary>
    internal int Count(int leastByteCount, int most)
    {
        int count = Int32();
        if (count < 0 || count > most || count > _rest.Length / leastByteCount) throw new ParameterProtocolException($"a message that claims {count:N0} items in {_rest.Length:N0} bytes");
        return count;
    }

    internal string Text(int most)
    {
        int count = Int32();
        if (count < 0 || count > most) throw new ParameterProtocolException($"a text of {count:N0} bytes, at most {most:N0} are possible");
        try
        {
            return s_strict.GetString(Take(count));
        }
        catch (DecoderFallbackException)
        {
            throw new ParameterProtocolException("a text that is not UTF-8");
        }
    }

    internal readonly void End()
    {
        if (_rest.Length > 0) throw new ParameterProtocolException($"{_rest.Length:N0} bytes too many in a message");
    }
}
