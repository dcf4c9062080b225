using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>
/// The contiguous bytes that a framing looks at, made of the pieces of a feed. Mostly a part of a piece as it lies in its slab. What straddles two slabs, and only
/// that, is copied: into a bridge, a slab that is left again as soon as the framing has passed into the second slab. A record longer than a slab has a
/// bridge that grows with the bytes that really come.
/// </summary>
internal sealed class SlabWindow(SlabFeed feed, SlabPool pool) : IDisposable
{
    // Leases are taken in bulk and the unused ones given back at the end: handing out a record then costs no locked instruction.
    private const int Bulk = 1 << 28;

    // A framing that can only say "one more" (lines) gets this much at a time.
    private const int LeastCopy = 1 << 12;

    private Slab? _slab;
    private byte[] _bytes = [];
    private int _start, _end, _given;
    private bool _isFinal, _isBridge;

    // Where a bridge leads: the piece, how much of it was copied, and where in the bridge it begins.
    private SlabPiece _ahead;
    private int _copied, _aheadStart;

    /// <summary>The bytes.</summary>
    internal ReadOnlySpan<byte> Span
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _bytes.AsSpan(_start, _end - _start);
    }

    /// <summary>Whether the source ends with the window.</summary>
    internal bool IsFinal => _isFinal;

    /// <summary>Which source the bytes are of; -1 before the first.</summary>
    internal int File { get; private set; } = -1;

    /// <summary>Cuts a record out of the front, with a lease of its own.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal Record Take(in RecordFrame frame, string file, long offset, long number)
    {
        int start = _start + frame.DataStart;
        _start += (int)frame.ByteCount;
        _given++;
        return new Record(_slab!, start, frame.DataLength, file, offset, number);
    }

    /// <summary>Goes to the next source; what is left of this one is passed over.</summary>
    /// <returns>False behind the last.</returns>
    /// <exception cref="IngestException">The source can't be opened; the next call goes on behind it.</exception>
    internal bool TryOpenNext()
    {
        Close();
        SlabPiece piece;
        do
        {
            if (!feed.TryNext(out piece)) return false;
            if (piece.File == File) piece.Release();
        }
        // Behind an error a source's pieces may still come.
        while (piece.File == File);
        File = piece.File;
        Adopt(piece);
        return true;
    }

    /// <summary>Passes over the rest of the source.</summary>
    internal void Close()
    {
        bool isEnded = _isFinal || File < 0 || (_isBridge && _ahead.IsEnd);
        Leave();
        if (isEnded) return;
        feed.SkipRest(File);
        while (feed.TryNext(out SlabPiece piece))
        {
            piece.Release();
            if (piece.IsEnd) break;
        }
        _isFinal = true;
    }

    /// <summary>Gets the bytes that follow, so that the window has <paramref name="needed"/> if the source has them. The window's bytes may move.</summary>
    internal void Extend(long needed)
    {
        if (_isBridge && _start >= _aheadStart)
        {
            Cross();
            if (_end - _start >= needed) return;
        }
        while (_end - _start < needed && !_isFinal)
        {
            if (_isBridge) ExtendBridge(needed);
            else ExtendPiece(needed);
        }
    }

    /// <summary>Passes over bytes, wherever they lie.</summary>
    /// <returns>False if the source ends before.</returns>
    internal bool Skip(long byteCount)
    {
        while (true)
        {
            int step = (int)Math.Min(byteCount, _end - _start);
            _start += step;
            byteCount -= step;
            if (byteCount == 0) return true;
            if (_isFinal) return false;
            Extend(1);
        }
    }

    public void Dispose() => Leave();

    private void ExtendPiece(long needed)
    {
        if (!feed.TryNext(out SlabPiece piece)) throw new InvalidOperationException($"{feed.NameOf(File)}: the feed ended inside a file");
        if (piece.Error is null && ReferenceEquals(piece.Slab, _slab) && piece.Start == _end && _slab is not null)
        {
            // More of the same slab: the piece's lease is one more than needed.
            _end += piece.Length;
            _isFinal = piece.IsEnd;
            piece.Release();
        }
        else if (_start == _end || piece.Error is not null)
        {
            Leave();
            Adopt(piece);
        }
        else if (piece.Length == 0)
        {
            _isFinal = piece.IsEnd;
            piece.Release();
        }
        else BeginBridge(piece, needed);
    }

    private void Adopt(in SlabPiece piece)
    {
        _isFinal = piece.IsEnd;
        if (piece.Error is not null) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(piece.Error);
        if (piece.Slab is null) return;
        Hold(piece.Slab);
        _start = piece.Start;
        _end = piece.Start + piece.Length;
    }

    // With one lease on the slab already held.
    private void Hold(Slab slab)
    {
        slab.Lease(Bulk - 1);
        _slab = slab;
        _bytes = slab.Bytes;
        _given = 0;
    }

    private void Leave()
    {
        Slab? slab = _slab;
        int left = Bulk - _given;
        (_slab, _bytes, _start, _end, _given) = (null, [], 0, 0, 0);
        slab?.Release(left);
        if (_isBridge) _ahead.Release();
        _isBridge = false;
        _ahead = default;
    }

    private void BeginBridge(in SlabPiece ahead, long needed)
    {
        try
        {
            MoveToSlab(_end - _start + 1, needed);
        }
        catch
        {
            ahead.Release();
            throw;
        }
        _isBridge = true;
        _ahead = ahead;
        _copied = 0;
        _aheadStart = _end;
        ExtendBridge(needed);
    }

    private void ExtendBridge(long needed)
    {
        if (_copied == _ahead.Length && !TryGoAhead()) return;
        int length = _end - _start;
        // "One more" is what a framing says that can't tell how much: lines.
        long step = needed - length == 1 ? Math.Max(length, LeastCopy) : needed - length;
        // Never more memory than about twice the bytes that are there.
        int count = (int)Math.Min(Math.Min(step, _ahead.Length - _copied), Math.Max(length, SlabPool.SmallestByteCount));
        if (_end + count > _slab!.End) MoveToSlab(length + count, needed);
        _ahead.Slab!.Bytes.AsSpan(_ahead.Start + _copied, count).CopyTo(_bytes.AsSpan(_end));
        _end += count;
        _copied += count;
        _isFinal = _ahead.IsEnd && _copied == _ahead.Length;
    }

    // The piece ahead was copied wholly: the one behind it comes next.
    private bool TryGoAhead()
    {
        if (!feed.TryNext(out SlabPiece next)) throw new InvalidOperationException($"{feed.NameOf(File)}: the feed ended inside a file");
        if (next.Error is not null)
        {
            Leave();
            Adopt(next);
        }
        _ahead.Release();
        _ahead = next;
        _copied = 0;
        _aheadStart = _end;
        _isFinal = next.IsEnd && next.Length == 0;
        return next.Length > 0;
    }

    // Copies the window's bytes to a slab with room for what comes now and, as far as that may be, for all that is needed.
    private void MoveToSlab(long least, long needed)
    {
        int length = _end - _start;
        long wanted = Math.Max(least, Math.Min(needed, length + (long)Math.Max(length, SlabPool.SmallestByteCount)));
        Slab slab = pool.Rent(checked((int)wanted));
        Span.CopyTo(slab.Span);
        int aheadStart = _aheadStart - _start;
        Slab? old = _slab;
        int left = Bulk - _given;
        Hold(slab);
        old?.Release(left);
        _start = slab.Origin;
        _end = _start + length;
        _aheadStart = _start + aheadStart;
    }

    private void Cross()
    {
        SlabPiece piece = _ahead;
        int passed = _start - _aheadStart;
        // Its lease goes over to the window.
        _ahead = default;
        _isBridge = false;
        Leave();
        Adopt(piece);
        _start += passed;
    }
}
