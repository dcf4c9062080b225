using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using CsCheck;

namespace DistTrain.Ingest.Tests;

/// <summary>Every framing on valid, damaged and random bytes: pieces of slabs, pipes and sequences cut anywhere give the same records and the same errors, and every lease comes back.</summary>
public sealed class FramingFuzzTests
{
    private const int Limit = 40;

    private static readonly Gen<byte[]> s_random = Gen.Byte.Array[0, 200];
    private static readonly string[] s_parts = ["a", "\n", "\r\n", ",", "\"", "{}", " ", "ö", "\ufeff", "b,c\n", "\"x,\"\"y\"\n"];
    private static readonly Gen<byte[]> s_text = Gen.Int[0, 10].Select(i => s_parts[i]).Array[0, 60].Select(parts => Encoding.UTF8.GetBytes(string.Concat(parts)));
    private static readonly Gen<byte[]> s_records = Gen.Byte.Array[0, 50].Array[0, 6].Select(WriteRecords);
    private static readonly Gen<byte[]> s_archives = Gen.Select(Gen.Int[0, 3], Gen.Int[0, 900]).Array[0, 4].Select(WriteArchive);

    [Fact]
    public void TFRecords() => Check(new TFRecordFraming(Limit), Damaged(s_records, 3), 150);

    [Fact]
    public void Random_bytes_as_TFRecords() => Check(new TFRecordFraming(Limit), s_random, 50);

    [Fact]
    public void Fixed_lengths() => Gen.Select(Gen.Int[1, 30], Gen.Int[0, 20], Gen.Int[0, 20]).Sample((record, header, footer) =>
        Check(new FixedLengthFraming(record, header, footer), s_random, 3), iter: 50, threads: 1);

    [Fact]
    public void Lines() => Check(new LineFraming(Limit), Gen.OneOf(Damaged(s_text, 1), s_random), 150);

    [Fact]
    public void Csv() => Check(new CsvFraming((byte)',', true, Limit), Gen.OneOf(Damaged(s_text, 1), s_random), 150);

    [Fact]
    public void Json_lines() => Check(new JsonLinesFraming(Limit), Gen.OneOf(Damaged(s_text, 1), s_random), 150);

    [Fact]
    public void Archives() => Check(new TarFraming(1 << 20), Gen.OneOf(Damaged(s_archives, 3), s_random), 100);

    private static void Check<TFraming>(TFraming framing, Gen<byte[]> contents, int count) where TFraming : struct, IRecordFraming =>
        Gen.Select(contents, Gen.Int[0, 300].Array[0, 12]).Sample((content, cuts) =>
        {
            List<string> whole = Run(framing, (pool) => new PieceFeed(content, [], pool));
            Assert.Equal(whole, Run(framing, pool => new PieceFeed(content, cuts, pool)));
            Assert.Equal(whole, RunPipe(framing, content, cuts));
            Assert.Equal(whole, RunStream(framing, content, cuts));
            Assert.Equal(whole, RunSequence(framing, content, cuts));
        }, iter: count, threads: 1);

    private static List<string> Run<TFraming>(TFraming framing, Func<SlabPool, SlabFeed> open) where TFraming : struct, IRecordFraming
    {
        using StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), TestContext.Current.CancellationToken);
        List<string> seen = [];
        using (RecordStream<TFraming> stream = new("Fuzz", open(context.Slabs), framing, context)) TakeAll(stream, seen);
        Assert.Equal(0, context.Slabs.OutstandingCount);
        return seen;
    }

    private static List<string> RunPipe<TFraming>(TFraming framing, byte[] content, int[] cuts) where TFraming : struct, IRecordFraming
    {
        using StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), TestContext.Current.CancellationToken);
        List<string> seen = [];
        PipeSource source = new("fuzz", () => PipeReader.Create(InPieces(content, cuts)));
        using (RecordStream<TFraming> stream = new("Fuzz", new PipeFeed("Fuzz", [source], context), framing, context)) TakeAll(stream, seen);
        Assert.Equal(0, context.Slabs.OutstandingCount);
        return seen;
    }

    private static List<string> RunStream<TFraming>(TFraming framing, byte[] content, int[] cuts) where TFraming : struct, IRecordFraming
    {
        using StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), TestContext.Current.CancellationToken);
        List<string> seen = [];
        PipeSource source = new("fuzz", () => new TricklingStream(content, cuts));
        using (RecordStream<TFraming> stream = new("Fuzz", new PipeFeed("Fuzz", [source], context), framing, context)) TakeAll(stream, seen);
        Assert.Equal(0, context.Slabs.OutstandingCount);
        return seen;
    }

    private static List<string> RunSequence<TFraming>(TFraming framing, byte[] content, int[] cuts) where TFraming : struct, IRecordFraming
    {
        ReadOnlySequence<byte> input = InPieces(content, cuts);
        SourceLocation place = new("fuzz");
        List<string> seen = [];
        while (true)
        {
            try
            {
                if (!RecordSequence.TryRead(framing, ref input, ref place, isFinal: true, out ReadOnlySequence<byte> record)) return seen;
                seen.Add(Convert.ToHexString(record.ToArray()));
            }
            catch (DataFormatException e)
            {
                seen.Add("!" + e.Message.Replace(": record", ": Fuzz, record", StringComparison.Ordinal));
                if (input.IsEmpty) return seen;
            }
        }
    }

    private static void TakeAll(ElementStream<Record> stream, List<string> seen)
    {
        while (true)
        {
            try
            {
                if (!stream.TryNext(out Record record)) return;
                seen.Add(Convert.ToHexString(record.Span));
                record.Dispose();
            }
            catch (DataFormatException e)
            {
                seen.Add("!" + e.Message);
            }
        }
    }

    private static Gen<byte[]> Damaged(Gen<byte[]> valid, int times) => Gen.Select(valid, Gen.Select(Gen.Int[0, 5000], Gen.Byte).Array[0, times], Gen.Int[0, 12]).Select((content, changes, cut) =>
    {
        byte[] damaged = [.. content];
        foreach ((int at, byte value) in changes)
            if (damaged.Length > 0) damaged[at % damaged.Length] ^= value;
        return cut > 8 ? damaged[..Math.Max(0, damaged.Length - cut)] : damaged;
    });

    private static byte[] WriteRecords(byte[][] records)
    {
        using MemoryStream stream = new();
        using TFRecordWriter writer = new(stream);
        foreach (byte[] record in records) writer.Write(record);
        return stream.ToArray();
    }

    private static byte[] WriteArchive((int Parts, int Length)[] samples)
    {
        using MemoryStream stream = new();
        using (System.Formats.Tar.TarWriter writer = new(stream, leaveOpen: true))
        {
            for (int i = 0; i < samples.Length; i++)
                for (int part = 0; part < samples[i].Parts; part++)
                    writer.WriteEntry(new System.Formats.Tar.UstarTarEntry(System.Formats.Tar.TarEntryType.RegularFile, $"{i:000}.x{part}") { DataStream = new MemoryStream(new byte[samples[i].Length]) });
        }
        return stream.ToArray();
    }

    private static List<int> Bounds(int length, int[] cuts) => [.. cuts.Select(cut => length == 0 ? 0 : cut % length).Append(0).Append(length).Order()];

    private static ReadOnlySequence<byte> InPieces(byte[] content, int[] cuts)
    {
        List<int> bounds = Bounds(content.Length, cuts);
        Segment first = new(content.AsMemory(bounds[0]..bounds[1]), 0), last = first;
        for (int i = 1; i + 1 < bounds.Count; i++) last = last.Append(content.AsMemory(bounds[i]..bounds[i + 1]));
        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, long runningIndex) => (Memory, RunningIndex) = (memory, runningIndex);

        public Segment Append(ReadOnlyMemory<byte> memory)
        {
            Segment next = new(memory, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }

    /// <summary>Gives pieces cut anywhere; each other one follows the one before in the same slab.</summary>
    private sealed class PieceFeed(byte[] content, int[] cuts, SlabPool pool) : SlabFeed
    {
        private readonly List<int> _bounds = Bounds(content.Length, cuts);
        private Slab? _slab;
        private int _next, _filled;
        private bool _isEnded;

        internal override int FileCount => 1;

        internal override string NameOf(int file) => "fuzz";

        internal override void Seek(int file, long offset) => throw new NotSupportedException();

        internal override void SkipRest(int file)
        {
        }

        internal override bool TryNext(out SlabPiece piece)
        {
            piece = default;
            if (_isEnded) return false;
            if (_next + 1 >= _bounds.Count)
            {
                _isEnded = true;
                piece = new SlabPiece { IsEnd = true };
                return true;
            }
            ReadOnlySpan<byte> bytes = content.AsSpan(_bounds[_next].._bounds[_next + 1]);
            if (_next % 3 != 1 || _slab is null)
            {
                _slab?.Release();
                _slab = pool.Rent(SlabPool.SmallestByteCount);
                _filled = _slab.Origin;
            }
            bytes.CopyTo(_slab.Bytes.AsSpan(_filled));
            _slab.Lease();
            // Sometimes the last bytes say that they are the last, sometimes an empty piece does.
            _isEnded = ++_next + 1 >= _bounds.Count && cuts.Length % 2 == 0;
            piece = new SlabPiece { Slab = _slab, Start = _filled, Length = bytes.Length, IsEnd = _isEnded };
            _filled += bytes.Length;
            return true;
        }

        public override void Dispose() => _slab?.Release();
    }

    private sealed class TricklingStream(byte[] content, int[] cuts) : ForwardStream
    {
        private readonly List<int> _bounds = [.. Bounds(content.Length, cuts).Distinct()];
        private int _next;

        public override int Read(Span<byte> buffer)
        {
            if (_next + 1 >= _bounds.Count) return 0;
            ReadOnlySpan<byte> bytes = content.AsSpan(_bounds[_next].._bounds[++_next]);
            bytes.CopyTo(buffer);
            return bytes.Length;
        }
    }
}
