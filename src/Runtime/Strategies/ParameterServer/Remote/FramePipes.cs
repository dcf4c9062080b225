using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.InteropServices;

namespace DistTrain.Runtime;

/// <summary>When the other side of a connection was last seen to send or to take something.</summary>
internal sealed class ConnectionPulse
{
    private long _at = Environment.TickCount64;

    internal TimeSpan Silence => TimeSpan.FromMilliseconds(Environment.TickCount64 - Volatile.Read(ref _at));

    internal void Beat() => Volatile.Write(ref _at, Environment.TickCount64);
}

/// <summary>Frames through pipes. Vectors go straight from and to their place, in slices: no message is ever held as a whole.</summary>
internal static class FramePipes
{
    /// <summary>Bytes after which a writer waits until the other side has taken them.</summary>
    internal const int SliceByteCount = 256 * 1024;

    /// <summary>Takes in the next head.</summary>
    /// <exception cref="ParameterConnectionException">The connection ended.</exception>
    /// <exception cref="ParameterProtocolException">It is none of ours.</exception>
    internal static async ValueTask<FrameHead> ReadHeadAsync(this PipeReader reader, ConnectionPulse pulse)
    {
        while (true)
        {
            ReadResult result = await reader.ReadAsync().ConfigureAwait(false);
            if (TryReadHead(reader, result, pulse, out FrameHead head)) return head;
        }
    }

    /// <summary>Takes a head out of what was read, if it is whole; says what was looked at.</summary>
    internal static bool TryReadHead(PipeReader reader, in ReadResult result, ConnectionPulse pulse, out FrameHead head)
    {
        ReadOnlySequence<byte> buffer = result.Buffer;
        if (!buffer.IsEmpty) pulse.Beat();
        if (buffer.Length >= FrameHead.ByteCount)
        {
            head = FrameHead.Read(buffer);
            reader.AdvanceTo(buffer.GetPosition(FrameHead.ByteCount));
            return true;
        }
        head = default;
        // The rest is on its way, or the connection ends at a timeout.
        reader.AdvanceTo(buffer.Start, buffer.End);
        if (result.IsCompleted) throw Ended(buffer.Length);
        return false;
    }

    /// <summary>Takes in exactly so many bytes.</summary>
    internal static async ValueTask ReadBytesAsync(this PipeReader reader, Memory<byte> bytes, ConnectionPulse pulse)
    {
        for (int filled = 0; filled < bytes.Length;)
        {
            ReadResult result = await reader.ReadAsync().ConfigureAwait(false);
            filled += Take(reader, result, bytes.Span[filled..], pulse);
        }
    }

    /// <summary>Takes in a vector; its bytes come as little-endian f32.</summary>
    internal static async ValueTask ReadFloatsAsync(this PipeReader reader, Memory<float> values, ConnectionPulse pulse)
    {
        int byteCount = checked(values.Length * sizeof(float));
        for (int filled = 0; filled < byteCount;)
        {
            ReadResult result = await reader.ReadAsync().ConfigureAwait(false);
            filled += Take(reader, result, MemoryMarshal.AsBytes(values.Span)[filled..], pulse);
        }
        if (!BitConverter.IsLittleEndian) Reverse(values.Span);
    }

    /// <summary>Reads on without keeping anything, so that the frame behind can be read.</summary>
    internal static async ValueTask SkipAsync(this PipeReader reader, long byteCount, ConnectionPulse pulse)
    {
        while (byteCount > 0)
        {
            ReadResult result = await reader.ReadAsync().ConfigureAwait(false);
            long taken = Math.Min(result.Buffer.Length, byteCount);
            if (taken == 0 && result.IsCompleted) throw Ended(1);
            pulse.Beat();
            reader.AdvanceTo(result.Buffer.GetPosition(taken));
            byteCount -= taken;
        }
    }

    /// <summary>Writes a head and a short body, not yet sent.</summary>
    internal static void WriteFrame(this PipeWriter writer, FrameKind kind, uint request, ReadOnlySpan<byte> body, long vectorByteCount = 0)
    {
        Span<byte> head = writer.GetSpan(FrameHead.ByteCount);
        new FrameHead(kind, request, body.Length + vectorByteCount).Write(head);
        writer.Advance(FrameHead.ByteCount);
        writer.Write(body);
    }

    /// <summary>Sends a vector's bytes. Waits where the other side does not keep up.</summary>
    internal static async ValueTask WriteFloatsAsync(this PipeWriter writer, ReadOnlyMemory<float> values, ConnectionPulse pulse)
    {
        if (!BitConverter.IsLittleEndian)
        {
            float[] reversed = values.ToArray();
            Reverse(reversed);
            values = reversed;
        }
        int byteCount = checked(values.Length * sizeof(float));
        for (int sent = 0; sent < byteCount;)
        {
            int end = Math.Min(byteCount, sent + SliceByteCount);
            while (sent < end) sent += Copy(writer, MemoryMarshal.AsBytes(values.Span)[sent..end]);
            await writer.SendAsync(pulse).ConfigureAwait(false);
        }
    }

    /// <summary>Sends what was written.</summary>
    /// <exception cref="ParameterConnectionException">The other side takes nothing any more.</exception>
    internal static async ValueTask SendAsync(this PipeWriter writer, ConnectionPulse pulse)
    {
        FlushResult result = await writer.FlushAsync().ConfigureAwait(false);
        if (result.IsCompleted || result.IsCanceled) throw new ParameterConnectionException("the connection was closed while something was sent");
        pulse.Beat();
    }

    private static int Take(PipeReader reader, in ReadResult result, Span<byte> room, ConnectionPulse pulse)
    {
        ReadOnlySequence<byte> buffer = result.Buffer;
        int count = (int)Math.Min(buffer.Length, room.Length);
        if (count == 0 && result.IsCompleted) throw Ended(1);
        pulse.Beat();
        buffer = buffer.Slice(0, count);
        buffer.CopyTo(room);
        reader.AdvanceTo(buffer.End);
        return count;
    }

    private static int Copy(PipeWriter writer, ReadOnlySpan<byte> bytes)
    {
        Span<byte> room = writer.GetSpan();
        int count = Math.Min(room.Length, bytes.Length);
        bytes[..count].CopyTo(room);
        writer.Advance(count);
        return count;
    }

    private static void Reverse(Span<float> values)
    {
        Span<int> bits = MemoryMarshal.Cast<float, int>(values);
        System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(bits, bits);
    }

    private static ParameterConnectionException Ended(long rest) => new(rest == 0 ? "the connection was closed" : "the connection was closed within a message");
}
