using System.Buffers;
using System.Buffers.Binary;

namespace DistTrain.Runtime;

/// <summary>What a frame of the parameter server's protocol is.</summary>
internal enum FrameKind : byte
{
    // From workers.
    Hello = 1,
    Proof = 2,
    Open = 3,
    Initialize = 4,
    TakeStep = 5,
    Pull = 6,
    Push = 7,
    ReadStatistics = 8,

    // From servers.
    Challenge = 65,
    Welcome = 66,
    Opened = 67,
    Initialized = 68,
    Step = 69,
    Values = 70,
    Pushed = 71,
    Statistics = 72,
    Failure = 126,

    /// <summary>Says that the sender is alive: from workers at any time, from servers while a call waits.</summary>
    Alive = 127,
}

/// <summary>
/// What every message begins with, little-endian: "DTPS", version (1 byte), kind (1), zeros (2), request (4), bytes of the body that follows (8). The same in every version, so that versions can tell
/// each other apart.
/// </summary>
internal readonly record struct FrameHead(FrameKind Kind, uint Request, long BodyByteCount)
{
    internal const int ByteCount = 20;
    internal const byte Version = 1;

    private const uint Magic = 0x53505444;

    internal void Write(Span<byte> bytes)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        bytes[4] = Version;
        bytes[5] = (byte)Kind;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[6..], 0);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[8..], Request);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[12..], BodyByteCount);
    }

    /// <exception cref="ParameterProtocolException">It is no head of this version.</exception>
    internal static FrameHead Read(in ReadOnlySequence<byte> sequence)
    {
        Span<byte> bytes = stackalloc byte[ByteCount];
        sequence.Slice(0, ByteCount).CopyTo(bytes);
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic) throw new ParameterProtocolException("it does not speak the parameter server's protocol");
        if (bytes[4] != Version) throw new ParameterProtocolException($"it speaks version {bytes[4]} of the protocol, this side version {Version}: both need the same version of DistTrain");
        if (BinaryPrimitives.ReadUInt16LittleEndian(bytes[6..]) != 0) throw new ParameterProtocolException("a frame's reserved bytes are not zero");
        FrameHead head = new((FrameKind)bytes[5], BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]), BinaryPrimitives.ReadInt64LittleEndian(bytes[12..]));
        if (!Enum.IsDefined(head.Kind)) throw new ParameterProtocolException($"a frame of unknown kind {bytes[5]}");
        if (head.BodyByteCount < 0) throw new ParameterProtocolException($"a frame of {head.BodyByteCount} bytes");
        return head;
    }

    /// <summary>Has the body the length that its kind wants?</summary>
    /// <exception cref="ParameterProtocolException">It has another one.</exception>
    internal void Expect(FrameKind kind, long bodyByteCount)
    {
        if (Kind != kind) throw new ParameterProtocolException($"a frame '{Kind}' where '{kind}' was expected");
        if (BodyByteCount != bodyByteCount) throw new ParameterProtocolException($"a frame '{Kind}' of {BodyByteCount:N0} bytes where {bodyByteCount:N0} were expected");
    }
}

/// <summary>The other side sends what is no message of the protocol.</summary>
internal sealed class ParameterProtocolException(string message) : Exception(message);

/// <summary>The connection ended, or its other side fell silent.</summary>
internal sealed class ParameterConnectionException(string message, Exception? inner = null) : Exception(message, inner);
