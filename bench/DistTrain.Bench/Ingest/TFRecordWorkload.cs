using System.Buffers;
using System.IO.Pipelines;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>How a TFRecord file is read.</summary>
public enum RecordWay
{
    /// <summary>Slabs, filled by the thread that takes the records.</summary>
    Inline,

    /// <summary>Slabs, filled by a thread of their own.</summary>
    ReadAhead,

    /// <summary>A <see cref="PipeReader"/> over the file.</summary>
    Pipe,
}

/// <summary>Goes through a TFRecord file that lies in the page cache, verifying both checksums of each record.</summary>
public sealed class TFRecordWorkload : Workload
{
    // One pass is enough for so many calls.
    private const int SteadyCallCount = 40;

    private readonly string _file;
    private readonly RecordWay _way;
    private readonly int _recordCount;
    private DatasetIterator<Record>? _steady;

    private TFRecordWorkload(ComputeDevice device, RecordWay way, int recordByteCount, int recordCount)
        : base(device)
    {
        _file = BenchFile.TFRecord(recordByteCount, recordCount);
        _way = way;
        _recordCount = recordCount;
    }

    /// <summary>Long records, where bytes cost, and short ones, where records do; beside reading the file and doing nothing with it.</summary>
    public static IEnumerable<BenchCase> Cases() =>
    [
        .. Enum.GetValues<RecordWay>().Select(static way => Case(way, 64 << 10, 4096, Measure.GigabytesPerSecond)),
        .. Enum.GetValues<RecordWay>().Select(static way => Case(way, 100, 1 << 19, Measure.NanosecondsPerElement)),
    ];

    /// <inheritdoc/>
    public override void Run()
    {
        int count = _way == RecordWay.Pipe ? ReadPipe() : ReadDataset();
        if (count != _recordCount) throw new InvalidOperationException($"{count} records of {_recordCount} were read");
    }

    /// <inheritdoc/>
    public override void RunSteady()
    {
        _steady ??= Open();
        for (int i = 0; i < _recordCount / SteadyCallCount && _steady.TryNext(out Record record); i++) record.Dispose();
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _steady?.Dispose();
        base.Dispose();
    }

    private DatasetIterator<Record> Open() => Dataset.FromTFRecord(_file, new TFRecordOptions { Compression = DataCompression.None, ReadAhead = _way == RecordWay.ReadAhead }).Iterate();

    private int ReadDataset()
    {
        using DatasetIterator<Record> run = Open();
        int count = 0;
        for (; run.TryNext(out Record record); count++) record.Dispose();
        return count;
    }

    private int ReadPipe()
    {
        using FileStream stream = new(_file, FileMode.Open, FileAccess.Read, FileShare.Read, 0, FileOptions.SequentialScan);
        PipeReader reader = PipeReader.Create(stream, new StreamPipeReaderOptions(bufferSize: 1 << 18, minimumReadSize: 1 << 16));
        SourceLocation place = new(_file);
        TFRecordFraming framing = new(TFRecordOptions.DefaultMaxRecordByteCount);
        int count = 0;
        for (bool isFinal = false; !isFinal;)
        {
            ReadResult result = reader.ReadAsync().AsTask().GetAwaiter().GetResult();
            isFinal = result.IsCompleted;
            ReadOnlySequence<byte> left = result.Buffer;
            while (RecordSequence.TryRead(framing, ref left, ref place, isFinal, out _)) count++;
            reader.AdvanceTo(left.Start, left.End);
        }
        reader.Complete();
        return count;
    }

    private static BenchCase Case(RecordWay way, int recordByteCount, int recordCount, Measure measure)
    {
        string name = way switch
        {
            RecordWay.Inline => "one thread",
            RecordWay.ReadAhead => "reading ahead",
            _ => "pipe",
        };
        double byteCount = (recordByteCount + 16.0) * recordCount;
        return new BenchCase("ingest", $"tfrecord {recordByteCount} {name}", measure, measure == Measure.GigabytesPerSecond ? byteCount : recordCount, "none",
            device => new TFRecordWorkload(device, way, recordByteCount, recordCount))
        {
            ThreadCount = way == RecordWay.ReadAhead ? 2 : 1,
            OwnLimit = device => new FileReadWorkload(device, BenchFile.TFRecord(recordByteCount, recordCount)),
        };
    }
}

/// <summary>Reads a file from the page cache by plain positional reads, on one thread, and does nothing with it.</summary>
public sealed class FileReadWorkload(ComputeDevice device, string path) : Workload(device)
{
    // Stays in the second-level cache: larger pieces are slower.
    private readonly byte[] _piece = GC.AllocateUninitializedArray<byte>(1 << 18, pinned: true);

    /// <inheritdoc/>
    public override void Run()
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle(path, options: FileOptions.SequentialScan);
        for (long offset = 0, read; (read = RandomAccess.Read(file, _piece, offset)) > 0; offset += read)
        {
            // The next piece.
        }
    }
}
