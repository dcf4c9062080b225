using System.Numerics;

namespace DistTrain.Ingest;

/// <summary>
/// Memory for images, used again and again: in a steady state renting allocates nothing. Buffers are rounded up to a power of two (at most twice what
/// was asked for). Any thread may rent and give back; no call waits for another image.
/// </summary>
/// <param name="keptByteCount">Bytes of unused buffers that are kept at most; what comes back beyond that is left to the garbage collector.</param>
public sealed class ImagePool(long keptByteCount = 64L << 20)
{
    private const int SmallestPower = 10, LargestPower = 30;

    private readonly Lock _lock = new();
    private readonly Stack<ImageBuffer>[] _unused = [.. Enumerable.Range(0, LargestPower + 1).Select(_ => new Stack<ImageBuffer>())];
    private long _unusedByteCount;
    private long _rentedCount;

    /// <summary>The pool of those who name none.</summary>
    public static ImagePool Shared { get; } = new();

    /// <summary>Images rented and not disposed yet. 0 when a pipeline has given back all it took.</summary>
    public long RentedCount => Volatile.Read(ref _rentedCount);

    /// <summary>An image whose pixels are not set to anything. The caller owns it and disposes it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A size below 1, neither 1 nor 3 channels, or more than 1 GiB.</exception>
    public DecodedImage Rent(int height, int width, int channels)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        if (channels is not (1 or 3)) throw new ArgumentOutOfRangeException(nameof(channels), $"{channels} channels; 1 or 3 were expected");
        long byteCount = (long)width * height;
        if (byteCount <= 1 << LargestPower) byteCount *= channels;
        if (byteCount > 1 << LargestPower)
            throw new ArgumentOutOfRangeException(nameof(width), $"an image of {height} x {width} x {channels} is larger than 1 GiB");
        int power = Math.Max(SmallestPower, BitOperations.Log2((uint)byteCount - 1 | 1) + 1);
        return new DecodedImage(Take(power), height, width, channels);
    }

    /// <summary>
    /// An image with a copy of <paramref name="pixels"/>, [height, width, channels]: to change what belongs to another. The caller owns it and
    /// disposes it.
    /// </summary>
    /// <exception cref="ArgumentException">Another number of pixels.</exception>
    /// <exception cref="ArgumentOutOfRangeException">As <see cref="Rent"/>.</exception>
    public DecodedImage Copy(ReadOnlySpan<byte> pixels, int height, int width, int channels)
    {
        if ((Int128)height * width * channels != pixels.Length)
            throw new ArgumentException($"{pixels.Length} bytes are no image of {height} x {width} x {channels}", nameof(pixels));
        DecodedImage image = Rent(height, width, channels);
        pixels.CopyTo(image.Pixels);
        return image;
    }

    internal void Return(ImageBuffer buffer)
    {
        lock (_lock)
        {
            _rentedCount--;
            if (_unusedByteCount + buffer.Bytes.Length > keptByteCount) return;
            _unusedByteCount += buffer.Bytes.Length;
            _unused[BitOperations.Log2((uint)buffer.Bytes.Length)].Push(buffer);
        }
    }

    private ImageBuffer Take(int power)
    {
        lock (_lock)
        {
            _rentedCount++;
            if (_unused[power].TryPop(out ImageBuffer? buffer))
            {
                _unusedByteCount -= buffer.Bytes.Length;
                return buffer;
            }
        }
        try
        {
            return new ImageBuffer(this, 1 << power);
        }
        catch (OutOfMemoryException)
        {
            lock (_lock) _rentedCount--;
            throw;
        }
    }
}

/// <summary>The memory behind an image, and which of its owners is the current one.</summary>
internal sealed class ImageBuffer(ImagePool pool, int byteCount)
{
    // Counted up by every disposal, so that a stale handle can neither read nor free what belongs to another image by now.
    private int _generation;

    internal byte[] Bytes { get; } = GC.AllocateUninitializedArray<byte>(byteCount);

    internal int Generation => Volatile.Read(ref _generation);

    internal void Release(int generation)
    {
        if (Interlocked.CompareExchange(ref _generation, generation + 1, generation) == generation) pool.Return(this);
    }
}
