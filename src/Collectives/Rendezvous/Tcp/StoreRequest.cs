using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Collectives;

internal enum StoreVerb : byte
{
    Set = 1,
    Get,
    TryGet,
    Add,
    CompareExchange,
    Wait,
    Delete,

    /// <summary>Ends a waiting request, which is answered with what is missing.</summary>
    Cancel,

    /// <summary>The client goes and won't come back.</summary>
    Leave,
}

internal enum StoreStatus : byte
{
    Done,

    /// <summary>A text follows.</summary>
    Failed,

    /// <summary>The wait was ended; the numbers (16 bits) of the keys not set follow.</summary>
    Missing,
}

/// <summary>One request as it goes over the wire: its number, verb, keys (each with a 16-bit length before it), then what the verb needs.</summary>
internal readonly ref struct StoreRequest
{
    internal const int HeadByteCount = sizeof(ulong) + 1 + sizeof(ushort);

    /// <summary>The requests that change something; a client has one of them under way at a time, and the server answers a repeated one from memory.</summary>
    internal static bool IsChange(StoreVerb verb) => verb is StoreVerb.Set or StoreVerb.Add or StoreVerb.CompareExchange or StoreVerb.Delete;

    internal ulong Number { get; private init; }

    internal StoreVerb Verb { get; private init; }

    internal string[] Keys { get; private init; }

    internal ReadOnlySpan<byte> Body { get; private init; }

    internal static byte[] Encode(ulong number, StoreVerb verb, IReadOnlyList<byte[]> keys, ReadOnlySpan<byte> body)
    {
        byte[] payload = new byte[HeadByteCount + keys.Sum(key => sizeof(ushort) + key.Length) + body.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(payload, number);
        payload[8] = (byte)verb;
        BinaryPrimitives.WriteUInt16LittleEndian(payload.AsSpan(9), (ushort)keys.Count);
        Span<byte> rest = payload.AsSpan(HeadByteCount);
        foreach (byte[] key in keys)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(rest, (ushort)key.Length);
            key.CopyTo(rest[sizeof(ushort)..]);
            rest = rest[(sizeof(ushort) + key.Length)..];
        }
        body.CopyTo(rest);
        return payload;
    }

    /// <returns>Whether the payload is a request; nothing in it is believed.</returns>
    internal static bool TryDecode(ReadOnlySpan<byte> payload, out StoreRequest request)
    {
        request = default;
        if (payload.Length < HeadByteCount) return false;
        int count = BinaryPrimitives.ReadUInt16LittleEndian(payload[9..]);
        ReadOnlySpan<byte> rest = payload[HeadByteCount..];
        // A key takes three bytes at least: a count beyond that is no reason for a large array.
        if (count > rest.Length / 3) return false;
        string[] keys = new string[count];
        for (int i = 0; i < count; i++)
        {
            if (rest.Length < sizeof(ushort)) return false;
            int length = BinaryPrimitives.ReadUInt16LittleEndian(rest);
            if (length > rest.Length - sizeof(ushort) || RendezvousLimits.Decode(rest.Slice(sizeof(ushort), length)) is not { } key) return false;
            keys[i] = key;
            rest = rest[(sizeof(ushort) + length)..];
        }
        request = new StoreRequest { Number = BinaryPrimitives.ReadUInt64LittleEndian(payload), Verb = (StoreVerb)payload[8], Keys = keys, Body = rest };
        return request.IsWhole();
    }

    /// <summary>The body of a compare-exchange: whether a value is expected, its length, it, the new value.</summary>
    internal static byte[] EncodeExchange(byte[]? expected, ReadOnlySpan<byte> value)
    {
        byte[] body = new byte[1 + sizeof(int) + (expected?.Length ?? 0) + value.Length];
        body[0] = expected is null ? (byte)0 : (byte)1;
        BinaryPrimitives.WriteInt32LittleEndian(body.AsSpan(1), expected?.Length ?? 0);
        expected?.CopyTo(body.AsSpan(1 + sizeof(int)));
        value.CopyTo(body.AsSpan(1 + sizeof(int) + (expected?.Length ?? 0)));
        return body;
    }

    internal void DecodeExchange(out byte[]? expected, out byte[] value)
    {
        int length = BinaryPrimitives.ReadInt32LittleEndian(Body[1..]);
        ReadOnlySpan<byte> rest = Body[(1 + sizeof(int))..];
        expected = Body[0] == 0 ? null : rest[..length].ToArray();
        value = rest[length..].ToArray();
    }

    [SuppressMessage("Style", "IDE0072:Populate switch", Justification = "Whatever else came is no verb.")]
    private bool IsWhole() => Verb switch
    {
        StoreVerb.Set => Keys.Length == 1 && Body.Length <= RendezvousLimits.MaxValueByteCount,
        StoreVerb.Get or StoreVerb.TryGet or StoreVerb.Delete => Keys.Length == 1 && Body.IsEmpty,
        StoreVerb.Add => Keys.Length == 1 && Body.Length == sizeof(long),
        StoreVerb.CompareExchange => Keys.Length == 1 && IsExchange(),
        StoreVerb.Wait => Keys.Length >= 1 && Body.IsEmpty,
        StoreVerb.Cancel or StoreVerb.Leave => Keys.Length == 0 && Body.IsEmpty,
        _ => false,
    };

    private bool IsExchange()
    {
        if (Body.Length < 1 + sizeof(int) || Body[0] > 1) return false;
        int length = BinaryPrimitives.ReadInt32LittleEndian(Body[1..]), valueLength = Body.Length - 1 - sizeof(int) - length;
        return length is >= 0 and <= RendezvousLimits.MaxValueByteCount && (Body[0] == 1 || length == 0) && valueLength is >= 0 and <= RendezvousLimits.MaxValueByteCount;
    }
}
