using System.Buffers.Binary;

namespace DistTrain.Runtime;

/// <summary>A worker's call as it is sent: some numbers, and perhaps a vector that goes out or comes back.</summary>
internal readonly record struct RemoteCall(FrameKind Kind, long First = 0, long Second = 0, long Third = 0, float Rate = 0)
{
    internal const int PushByteCount = (3 * sizeof(long)) + sizeof(float), NumberByteCount = sizeof(long), PushedByteCount = 1 + (2 * sizeof(long));

    internal ReadOnlyMemory<float> Sent { get; init; }

    internal Memory<float> Received { get; init; }

    /// <summary>The kind of its answer.</summary>
    internal FrameKind Answer => Kind switch
    {
        FrameKind.Initialize => FrameKind.Initialized,
        FrameKind.TakeStep => FrameKind.Step,
        FrameKind.Pull => FrameKind.Values,
        FrameKind.Push => FrameKind.Pushed,
        _ => FrameKind.Statistics,
    };

    /// <summary>Bytes of its answer.</summary>
    internal long AnswerByteCount => Kind switch
    {
        FrameKind.Initialize => 1,
        FrameKind.TakeStep => NumberByteCount,
        FrameKind.Pull => NumberByteCount + ((long)Received.Length * sizeof(float)),
        FrameKind.Push => PushedByteCount,
        _ => StatisticsMessage.ByteCount,
    };

    /// <summary>A push as a call.</summary>
    /// <param name="number">Its number in the session; the same number is applied once.</param>
    /// <param name="push">What is pushed.</param>
    internal static RemoteCall Of(long number, in GradientPush push) => new(FrameKind.Push, number, push.Step, push.BaseVersion, push.LearningRate) { Sent = push.Values };

    /// <summary>The body but for the vector.</summary>
    internal int WriteNumbers(Span<byte> bytes)
    {
        switch (Kind)
        {
            case FrameKind.TakeStep or FrameKind.Pull:
                BinaryPrimitives.WriteInt64LittleEndian(bytes, First);
                return NumberByteCount;
            case FrameKind.Push:
                BinaryPrimitives.WriteInt64LittleEndian(bytes, First);
                BinaryPrimitives.WriteInt64LittleEndian(bytes[8..], Second);
                BinaryPrimitives.WriteInt64LittleEndian(bytes[16..], Third);
                BinaryPrimitives.WriteSingleLittleEndian(bytes[24..], Rate);
                return PushByteCount;
            default:
                return 0;
        }
    }
}

/// <summary>What a call came back with.</summary>
internal readonly record struct RemoteAnswer(long Number = 0, PushResult Push = default, ParameterServerStatistics? Statistics = null);
