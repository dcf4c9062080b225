using System.Buffers.Binary;
using System.Text;
using System.Text.RegularExpressions;

namespace DistTrain.Runtime.Tests;

public sealed partial class TensorBoardWriterTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-test-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_file_begins_with_its_version_and_holds_every_scalar_with_step_and_time()
    {
        FixedTime time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, 500, TimeSpan.Zero));
        string path;
        using (TensorBoardWriter writer = new(Path.Combine(_folder, "run"), time: time))
        {
            path = writer.Path;
            writer.WriteScalar("train/loss", 0, 0.1f);
            writer.WriteScalars(300, ("accuracy", 1f), ("verlust größe", float.NaN));
            writer.WriteScalar("x", long.MaxValue, float.NegativeInfinity);
            writer.WriteScalar("x", -1, -0f);
        }

        List<Event> events = [.. ReadEvents(File.ReadAllBytes(path))];

        Assert.Equal("brain.Event:2", events[0].FileVersion);
        Assert.Equal([0L, 300L, long.MaxValue, -1L], events.Skip(1).Select(e => e.Step));
        Assert.All(events, e => Assert.Equal(1767323045.5, e.WallTime));
        Assert.Equal([("train/loss", 0.1f)], events[1].Scalars);
        Assert.Equal([("accuracy", 1f), ("verlust größe", float.NaN)], events[2].Scalars);
        Assert.Equal([("x", float.NegativeInfinity)], events[3].Scalars);
        Assert.Equal(BitConverter.SingleToUInt32Bits(-0f), BitConverter.SingleToUInt32Bits(events[4].Scalars[0].Value));
        Assert.Equal(5, events.Count);
    }

    [Fact]
    public void The_bytes_are_those_of_the_encoding_written_out_by_hand()
    {
        FixedTime time = new(DateTimeOffset.UnixEpoch.AddSeconds(2));
        string path;
        using (TensorBoardWriter writer = new(_folder, time: time))
        {
            path = writer.Path;
            writer.WriteScalar("a", 300, 1f);
        }

        byte[] wallTime = [0x09, 0, 0, 0, 0, 0, 0, 0, 0x40];
        List<byte[]> payloads = [.. Payloads(File.ReadAllBytes(path))];
        Assert.Equal([.. wallTime, 0x1a, 13, .. "brain.Event:2"u8], payloads[0]);
        // step 300 = ac 02; summary of 10 bytes; value of 8 bytes: tag "a", simple_value 1.
        Assert.Equal([.. wallTime, 0x10, 0xac, 0x02, 0x2a, 10, 0x0a, 8, 0x0a, 1, (byte)'a', 0x15, 0, 0, 0x80, 0x3f], payloads[1]);
    }

    [Fact]
    public void Files_are_named_as_tensorboard_looks_for_them_and_never_collide()
    {
        using TensorBoardWriter first = new(_folder), second = new(_folder);
        Assert.Matches(FileName(), Path.GetFileName(first.Path));
        Assert.Contains($".{Environment.MachineName}.{Environment.ProcessId}.", first.Path);
        Assert.NotEqual(first.Path, second.Path);
    }

    [Fact]
    public void Values_can_be_seen_while_the_writer_is_open_once_flushed()
    {
        FixedTime time = new(DateTimeOffset.UnixEpoch);
        using TensorBoardWriter writer = new(_folder, TimeSpan.FromSeconds(10), time);
        Assert.Single(ReadEvents(ReadShared(writer.Path)));
        writer.WriteScalar("a", 1, 1f);
        Assert.Single(ReadEvents(ReadShared(writer.Path)));
        time.Advance(TimeSpan.FromSeconds(10));
        writer.WriteScalar("a", 2, 1f);
        Assert.Equal(3, ReadEvents(ReadShared(writer.Path)).Count());
        writer.WriteScalar("a", 3, 1f);
        writer.Flush();
        Assert.Equal(4, ReadEvents(ReadShared(writer.Path)).Count());
    }

    [Fact]
    public void Threads_never_mix_their_events()
    {
        string path;
        using (TensorBoardWriter writer = new(_folder))
        {
            path = writer.Path;
            Parallel.For(0, 4, thread =>
            {
                for (int step = 0; step < 500; step++) writer.WriteScalar($"thread {thread}", step, thread);
            });
        }

        List<Event> events = [.. ReadEvents(File.ReadAllBytes(path)).Skip(1)];
        Assert.Equal(2000, events.Count);
        foreach (IGrouping<string, Event> curve in events.GroupBy(e => e.Scalars[0].Tag))
            Assert.Equal(Enumerable.Range(0, 500).Select(step => (long)step), curve.Select(e => e.Step));
    }

    [Fact]
    public void Writing_after_disposal_is_an_error_and_disposing_twice_is_none()
    {
        TensorBoardWriter writer = new(_folder);
        writer.Dispose();
        writer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => writer.WriteScalar("a", 1, 1f));
    }

    [GeneratedRegex(@"^events\.out\.tfevents\.\d{10}\.[^/]+\.\d+\.\d+$")]
    private static partial Regex FileName();

    private static byte[] ReadShared(string path)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }

    // An independent decoder, by the formats' descriptions: bit-by-bit checksums, fields by number and wire type.
    private sealed record Event(double WallTime, long Step, string? FileVersion, List<(string Tag, float Value)> Scalars);

    private static IEnumerable<Event> ReadEvents(byte[] file)
    {
        foreach (byte[] payload in Payloads(file))
        {
            (double wallTime, long step, string? version) = (0, 0, null);
            List<(string, float)> scalars = [];
            foreach ((int field, int wireType, byte[] value) in Fields(payload))
            {
                switch (field, wireType)
                {
                    case (1, 1): wallTime = BitConverter.ToDouble(value); break;
                    case (2, 0): step = BitConverter.ToInt64(value); break;
                    case (3, 2): version = Encoding.UTF8.GetString(value); break;
                    case (5, 2): scalars.AddRange(Fields(value).Select(summary => Scalar(summary.Value))); break;
                    default: Assert.Fail($"unexpected field {field} of wire type {wireType}"); break;
                }
            }
            yield return new Event(wallTime, step, version, scalars);
        }
    }

    private static (string, float) Scalar(byte[] message)
    {
        List<(int Field, int WireType, byte[] Value)> fields = [.. Fields(message)];
        Assert.Equal([(1, 2), (2, 5)], fields.Select(field => (field.Field, field.WireType)));
        return (Encoding.UTF8.GetString(fields[0].Value), BitConverter.ToSingle(fields[1].Value));
    }

    private static IEnumerable<(int Field, int WireType, byte[] Value)> Fields(byte[] message)
    {
        for (int at = 0; at < message.Length;)
        {
            ulong tag = Varint(message, ref at);
            int wireType = (int)(tag & 7), length = wireType switch { 1 => 8, 5 => 4, 2 => (int)Varint(message, ref at), _ => 0 };
            byte[] value = wireType == 0 ? BitConverter.GetBytes(Varint(message, ref at)) : message[at..(at + length)];
            at += length;
            yield return ((int)(tag >> 3), wireType, value);
        }
    }

    private static ulong Varint(byte[] message, ref int at)
    {
        ulong value = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte next = message[at++];
            value |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80) return value;
        }
    }

    private static IEnumerable<byte[]> Payloads(byte[] file)
    {
        for (int at = 0; at < file.Length;)
        {
            int length = (int)BinaryPrimitives.ReadInt64LittleEndian(file.AsSpan(at));
            Assert.Equal(MaskedCrc(file.AsSpan(at, 8)), BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at + 8)));
            byte[] payload = file[(at + 12)..(at + 12 + length)];
            Assert.Equal(MaskedCrc(payload), BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at + 12 + length)));
            yield return payload;
            at += 16 + length;
        }
    }

    private static uint MaskedCrc(ReadOnlySpan<byte> data)
    {
        uint register = ~0u;
        foreach (byte value in data)
        {
            register ^= value;
            for (int bit = 0; bit < 8; bit++) register = (register >> 1) ^ ((register & 1) * 0x82f63b78);
        }
        uint crc = ~register;
        return unchecked(((crc >> 15) | (crc << 17)) + 0xa282ead8);
    }
}
