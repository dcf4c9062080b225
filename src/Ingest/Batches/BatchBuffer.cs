namespace DistTrain.Ingest;

/// <summary>A lent piece of batch memory: fixed address, 64-byte aligned. Disposing gives it back; using it after that is an error of the caller's.</summary>
public abstract unsafe class BatchBuffer : IDisposable
{
    /// <summary>The first byte; does not move until disposed.</summary>
    public abstract nint Address { get; }

    /// <summary>Bytes that may be used: at least what was asked for.</summary>
    public abstract long ByteCount { get; }

    /// <summary>The memory as bytes.</summary>
    /// <exception cref="OverflowException">More than 2 GiB: take a part through <see cref="AsSpan(long, int)"/>.</exception>
    public Span<byte> AsSpan() => AsSpan(0, checked((int)ByteCount));

    /// <summary>A part of the memory as bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The part is not inside.</exception>
    public virtual Span<byte> AsSpan(long offset, int length)
    {
        CheckPart(offset, length);
        return new Span<byte>((byte*)Address + offset, length);
    }

    /// <summary>Gives the memory back. Safe to call twice.</summary>
    public abstract void Dispose();

    /// <summary>Throws unless the part lies inside.</summary>
    protected void CheckPart(long offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, ByteCount - length, nameof(offset));
    }
}
