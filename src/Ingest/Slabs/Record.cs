using System.Buffers;
using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>
/// The bytes of one record: a slice of a slab that stays lent while the record lives, so that nothing was copied. Whoever takes a record disposes it, once;
/// its bytes must not be used after that. A record that is kept for long keeps a whole slab from being used again: <see cref="Detach"/> copies it out.
/// A record that is never disposed costs speed, not correctness: its slab falls to the garbage collector.
/// Equal are records that are the same lease on the same bytes, not records with the same content. Reading is thread-safe.
/// </summary>
public readonly struct Record : IDisposable, ISized, IEncodable<Record>, IEquatable<Record>
{
    // The number needs no more; the byte above tells leases on the same bytes apart.
    private const int NumberBits = 56;

    private readonly Slab? _slab;
    private readonly string? _file;
    private readonly long _offset, _numberAndLease;
    private readonly int _start, _length;

    /// <summary>A slice of a slab on which it takes over one lease.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal Record(Slab slab, int start, int length, string? file, long offset, long number)
    {
        _slab = slab;
        _start = start;
        _length = length;
        _file = file;
        _offset = offset;
        _numberAndLease = number;
    }

    /// <summary>The bytes, until the record is disposed.</summary>
    public ReadOnlySpan<byte> Span => _slab is null ? default : _slab.Bytes.AsSpan(_start, _length);

    /// <summary>The bytes, until the record is disposed.</summary>
    public ReadOnlyMemory<byte> Memory => _slab is null ? default : _slab.Bytes.AsMemory(_start, _length);

    /// <summary>Bytes.</summary>
    public int Length => _length;

    /// <summary>Where it was read; the record's number counts within the file.</summary>
    public SourceLocation Source => _file is null ? SourceLocation.None : new SourceLocation(_file, _offset, Number);

    long ISized.ByteCount => _length;

    private long Number => _numberAndLease & ((1L << NumberBits) - 1);

    /// <summary>A record of its own memory with a copy of <paramref name="bytes"/>.</summary>
    public static Record Copy(ReadOnlySpan<byte> bytes, SourceLocation source = default)
    {
        Slab slab = new(null, bytes.Length, isPooled: false);
        bytes.CopyTo(slab.Bytes);
        return new Record(slab, 0, bytes.Length, source.File, source.Offset, source.Record);
    }

    /// <summary>The same bytes under another lease: both records are to be disposed.</summary>
    /// <exception cref="ObjectDisposedException">The record was disposed (found where its slab has gone back since).</exception>
    public Record Retain() => Slice(0, _length);

    /// <summary>A part of the bytes under a lease of its own: both records are to be disposed.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The part is not inside.</exception>
    /// <exception cref="ObjectDisposedException">The record was disposed (found where its slab has gone back since).</exception>
    public Record Slice(int start, int length)
    {
        if ((uint)start > (uint)_length) throw new ArgumentOutOfRangeException(nameof(start), start, $"the record has {_length} bytes");
        if ((uint)length > (uint)(_length - start)) throw new ArgumentOutOfRangeException(nameof(length), length, $"the record has {_length - start} bytes from {start} on");
        if (_slab is null) return this;
        _slab.Lease();
        return new Record(_slab, _start + start, length, _file, _offset, unchecked(_numberAndLease + (1L << NumberBits)));
    }

    /// <summary>A copy with memory of its own, for keeping. This record is still to be disposed.</summary>
    public Record Detach() => Copy(Span, Source);

    /// <summary>Ends the lease. Once only.</summary>
    /// <exception cref="InvalidOperationException">More leases were ended than there were.</exception>
    public void Dispose() => _slab?.Release();

    /// <inheritdoc/>
    public void Encode(IBufferWriter<byte> destination) => destination.Write(Span);

    /// <inheritdoc/>
    public static Record Decode(ReadOnlySpan<byte> bytes) => Copy(bytes);

    /// <summary>Whether both are the same lease on the same bytes.</summary>
    public bool Equals(Record other) =>
        ReferenceEquals(_slab, other._slab) && _start == other._start && _length == other._length && _numberAndLease == other._numberAndLease;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Record other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(_slab is null ? 0 : RuntimeHelpers.GetHashCode(_slab), _start, _length);

    /// <summary>For messages.</summary>
    public override string ToString() => $"{_length} bytes ({Source})";

    /// <summary>Whether both are the same lease on the same bytes.</summary>
    public static bool operator ==(Record left, Record right) => left.Equals(right);

    /// <summary>Whether they are not the same lease on the same bytes.</summary>
    public static bool operator !=(Record left, Record right) => !left.Equals(right);
}
