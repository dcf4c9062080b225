namespace DistTrain.Ingest;

/// <summary>What files are read for and how.</summary>
/// <param name="Operator">The operator that reads, for messages.</param>
/// <param name="Locations">Paths and addresses.</param>
/// <param name="SlabByteCount">How large the slabs are; small files get smaller ones.</param>
/// <param name="Compression">How the files are compressed.</param>
/// <param name="Recognizes">Whether a file that begins so is certainly not compressed; used where that is to be found out.</param>
internal sealed record FileFeedOptions(string Operator, IReadOnlyList<string> Locations, int SlabByteCount, DataCompression Compression, RecognizeStart Recognizes);

/// <summary>See <see cref="IRecordFraming.Recognizes"/>.</summary>
internal delegate bool RecognizeStart(ReadOnlySpan<byte> start);

/// <summary>Reads files into slabs, one behind the other, on the thread that asks for the pieces.</summary>
internal sealed class FileFeed(FileFeedOptions options, StreamContext context) : SlabFeed
{
    // Small enough that what was read is still in the processor's cache when its checksums are verified.
    private const int ReadByteCount = 1 << 18;

    private SharedSource? _source;
    private Stream? _content;
    private Slab? _slab;
    private long _offset;
    private long? _length;
    private int _file, _filled, _skipUpTo = -1;

    internal override int FileCount => options.Locations.Count;

    internal override string NameOf(int file) => ByteSource.NameOf(options.Locations[file]);

    internal override void Seek(int file, long offset) => (_file, _offset) = (file, offset);

    internal override void SkipRest(int file) => Volatile.Write(ref _skipUpTo, file);

    internal override bool CanShare => _source is { Bytes: FileByteSource } && _content is null && _length is not null;

    internal override bool TryNext(out SlabPiece piece)
    {
        bool isThere = TryClaim(out SlabClaim claim);
        piece = Fill(claim);
        return isThere;
    }

    internal override bool TryClaim(out SlabClaim claim)
    {
        claim = default;
        if (_file >= FileCount) return false;
        context.Cancellation.ThrowIfCancellationRequested();
        try
        {
            claim = Volatile.Read(ref _skipUpTo) >= _file ? new SlabClaim(new SlabPiece { File = _file, IsEnd = true }, null, 0) : ClaimPiece();
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            claim = new SlabClaim(new SlabPiece { File = _file, IsEnd = true, Error = Describe(e, _file, _offset) }, null, 0);
        }
        if (claim.Piece.IsEnd) CloseFile();
        return true;
    }

    internal override SlabPiece Fill(in SlabClaim claim)
    {
        SlabPiece piece = claim.Piece;
        if (claim.Source is null) return piece;
        int filled = 0;
        try
        {
            while (filled < piece.Length)
            {
                int read = claim.Source.Bytes.Read(claim.Offset + filled, piece.Slab!.Bytes.AsSpan(piece.Start + filled, piece.Length - filled), context.Cancellation);
                if (read == 0) throw new EndOfStreamException("it ends before the length it had when it was opened");
                filled += read;
            }
            return piece;
        }
        catch (Exception e)
        {
            piece.Release();
            if (e is OperationCanceledException) throw;
            SkipRest(piece.File);
            return new SlabPiece { File = piece.File, IsEnd = true, Error = Describe(e, piece.File, claim.Offset + filled) };
        }
        finally
        {
            claim.Source.Leave();
        }
    }

    public override void Dispose()
    {
        CloseFile();
        _file = FileCount;
    }

    private SlabClaim ClaimPiece()
    {
        if (_source is null) OpenFile();
        long left = _length - _offset ?? long.MaxValue;
        if (left == 0) return new SlabClaim(new SlabPiece { File = _file, IsEnd = true }, null, 0);
        if (_slab is null || _filled == _slab.End) RentSlab(left);
        Slab slab = _slab!;
        int start = _filled, length = (int)Math.Min(Math.Min(ReadByteCount, left), slab.End - start);
        SharedSource? shared = CanShare ? _source : null;
        if (shared is null) length = ReadInto(slab.Bytes.AsSpan(start, length));
        if (length == 0) return new SlabClaim(new SlabPiece { File = _file, IsEnd = true }, null, 0);
        shared?.Enter();
        slab.Lease();
        SlabClaim claim = new(new SlabPiece { File = _file, Slab = slab, Start = start, Length = length, IsEnd = length == left }, shared, _offset);
        _filled += length;
        _offset += length;
        return claim;
    }

    private int ReadInto(Span<byte> destination) => _content?.Read(destination) ?? _source!.Bytes.Read(_offset, destination, context.Cancellation);

    private void RentSlab(long left)
    {
        _slab?.Release();
        _slab = null;
        _slab = context.Slabs.Rent((int)Math.Min(options.SlabByteCount, left));
        _filled = _slab.Origin;
    }

    private void OpenFile()
    {
        string location = options.Locations[_file];
        IByteSource source = ByteSource.Open(options.Operator, location, context);
        _source = new SharedSource(source);
        DataCompression compression = Decompression.Find(options.Compression, location, source, options.Recognizes, context.Cancellation);
        if (compression == DataCompression.None)
        {
            _length = source.GetLength(context.Cancellation);
            if (_offset > _length) throw new DataFormatException(source.Name, _offset, $"the saved position lies behind the end of the file, which has {_length:N0} bytes: the data have changed");
            return;
        }
        if (source.GetLength(context.Cancellation) == 0) throw new DataFormatException(source.Name, 0, $"the file is empty, which {compression} data never are: cut short");
        _content = Decompression.Open(compression, new ByteSourceStream(source, context.Cancellation));
        // Compressed data can't be entered in the middle: what lies before the position is decompressed and dropped.
        RentSlab(options.SlabByteCount);
        for (long left = _offset; left > 0;)
        {
            int read = _content.Read(_slab!.Span[..(int)Math.Min(left, _slab.ByteCount)]);
            if (read == 0) throw new DataFormatException(source.Name, _offset - left, $"the saved position {_offset:N0} lies behind the end of the decompressed data: the data have changed");
            left -= read;
            context.Cancellation.ThrowIfCancellationRequested();
        }
    }

    private void CloseFile()
    {
        _content?.Dispose();
        _source?.Leave();
        _slab?.Release();
        (_source, _content, _slab, _length) = (null, null, null, null);
        _offset = 0;
        _file++;
    }

    private Exception Describe(Exception thrown, int file, long offset) => thrown is IngestException or DataFormatException or OutOfMemoryException ? thrown
        : thrown is InvalidDataException or EndOfStreamException && _content is not null ? new DataFormatException(NameOf(file), offset, $"the compressed data are damaged or cut short: {thrown.Message}", thrown)
        : new IngestException(options.Operator, -1, new SourceLocation(NameOf(file), offset), $"the file can't be read on: {thrown.Message}", thrown);
}
