using System.Buffers;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>
/// Gives what pipes bring as pieces of slabs. Memory that is a slab's already (<see cref="PipePump"/>) is only leased, other memory is copied once. All that has been read is taken
/// from the pipe at once: a record longer than the pipe's pause threshold does not stall it.
/// </summary>
internal sealed class PipeFeed(string operatorName, IReadOnlyList<PipeSource> sources, StreamContext context) : SlabFeed
{
    private const int CopySlabByteCount = 1 << 18;

    private readonly Queue<SlabPiece> _pieces = new();
    private readonly BlockingWait _wait = new();
    private StreamContext? _own;
    private PipeReader? _reader;
    private PipePump? _pump;
    private Slab? _slab;
    private int _file, _filled, _skipUpTo = -1;
    private long _offset, _toSkip;

    internal override int FileCount => sources.Count;

    internal override string NameOf(int file) => sources[file].Name;

    internal override void Seek(int file, long offset) => (_file, _toSkip) = (file, offset);

    internal override void SkipRest(int file) => _skipUpTo = file;

    internal override bool TryNext(out SlabPiece piece)
    {
        while (!_pieces.TryDequeue(out piece))
        {
            if (_file >= sources.Count) return false;
            context.Cancellation.ThrowIfCancellationRequested();
            try
            {
                Read();
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                _pieces.Enqueue(new SlabPiece { File = _file, IsEnd = true, Error = Describe(e) });
                Close();
            }
        }
        return true;
    }

    public override void Dispose()
    {
        while (_pieces.TryDequeue(out SlabPiece piece)) piece.Release();
        Close();
        _file = sources.Count;
        _wait.Dispose();
    }

    // Queues one piece at least, or moves on what is to be skipped.
    private void Read()
    {
        if (_skipUpTo >= _file)
        {
            End();
            return;
        }
        Open();
        long began = Stopwatch.GetTimestamp();
        ReadResult result = _wait.For(_reader!.ReadAsync(context.Cancellation), context.Cancellation);
        WaitClock.Add(Stopwatch.GetTimestamp() - began);
        ReadOnlySequence<byte> buffer = result.Buffer;
        if (_toSkip > 0)
        {
            long skipped = Math.Min(_toSkip, buffer.Length);
            buffer = buffer.Slice(skipped);
            _toSkip -= skipped;
            _offset += skipped;
        }
        foreach (ReadOnlyMemory<byte> segment in buffer) Add(segment);
        if (!result.IsCompleted) _reader.AdvanceTo(buffer.End);
        if (result.IsCanceled) throw new IngestException(operatorName, -1, new SourceLocation(NameOf(_file), _offset), "reading the pipe was cancelled by its owner");
        if (!result.IsCompleted) return;
        if (_pump?.Failure is { } failure) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        if (_toSkip > 0) throw new DataFormatException(NameOf(_file), _offset, $"the saved position lies {_toSkip:N0} bytes behind the end: the data have changed");
        End();
    }

    private void Open()
    {
        if (_reader is not null) return;
        _offset = 0;
        _own = context.CreateStoppable();
        _reader = sources[_file].Open(_own, out _pump);
    }

    private void Add(ReadOnlyMemory<byte> segment)
    {
        if (segment.IsEmpty) return;
        if (MemoryMarshal.TryGetMemoryManager(segment, out SlabMemory? memory, out int start, out int length))
        {
            memory.Slab.Lease();
            _pieces.Enqueue(new SlabPiece { File = _file, Slab = memory.Slab, Start = memory.Slab.Origin + start, Length = length });
        }
        else Copy(segment.Span);
        _offset += segment.Length;
    }

    private void Copy(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            if (_slab is null || _filled == _slab.End)
            {
                _slab?.Release();
                _slab = null;
                _slab = context.Slabs.Rent(CopySlabByteCount);
                _filled = _slab.Origin;
            }
            int count = Math.Min(bytes.Length, _slab.End - _filled);
            bytes[..count].CopyTo(_slab.Bytes.AsSpan(_filled));
            _slab.Lease();
            _pieces.Enqueue(new SlabPiece { File = _file, Slab = _slab, Start = _filled, Length = count });
            _filled += count;
            bytes = bytes[count..];
        }
    }

    private void End()
    {
        _pieces.Enqueue(new SlabPiece { File = _file, IsEnd = true });
        Close();
    }

    private void Close()
    {
        _own?.Cancel();
        _reader?.Complete();
        PipePump? pump = _pump;
        (_reader, _pump) = (null, null);
        _slab?.Release();
        _slab = null;
        _file++;
        pump?.Dispose();
        _own?.Dispose();
        _own = null;
    }

    private Exception Describe(Exception thrown) => thrown switch
    {
        IngestException or DataFormatException or OutOfMemoryException => thrown,
        InvalidDataException or EndOfStreamException => new DataFormatException(NameOf(_file), _offset, $"the compressed data are damaged or cut short: {thrown.Message}", thrown),
        _ => new IngestException(operatorName, -1, new SourceLocation(NameOf(_file), _offset), $"the stream can't be read on: {thrown.Message}", thrown),
    };
}
