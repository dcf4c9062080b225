using System.Buffers;
using System.Collections;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>
/// Some elements in a row, as <c>Batch</c> and <c>Window</c> give them. Owns its elements: disposing it disposes those that can be, and gives its memory
/// back. Elements without references (numbers, structs of numbers) lie in <see cref="IBatchMemory"/>, at one address.
/// </summary>
/// <typeparam name="T">The elements.</typeparam>
public sealed class ElementBatch<T> : IReadOnlyList<T>, IDisposable, ISized
{
    internal static readonly bool IsPlain = !RuntimeHelpers.IsReferenceOrContainsReferences<T>();

    private BatchBuffer? _buffer;
    private T[]? _array;

    private ElementBatch(BatchBuffer? buffer, T[]? array, int capacity) => (_buffer, _array, Capacity) = (buffer, array, capacity);

    /// <summary>How many elements there are.</summary>
    public int Count { get; private set; }

    /// <summary>The elements themselves. Valid until the batch is disposed.</summary>
    /// <exception cref="ObjectDisposedException">It was.</exception>
    public Span<T> Span => Room[..Count];

    /// <summary>Where the elements lie, 64-byte aligned. Valid until the batch is disposed.</summary>
    /// <exception cref="InvalidOperationException">The elements hold references and have no fixed address.</exception>
    public nint Address => IsPlain ? Buffer.Address : throw new InvalidOperationException($"elements of type {typeof(T).Name} hold references: they have no fixed address");

    /// <inheritdoc/>
    public long ByteCount => IsPlain ? (long)Count * Unsafe.SizeOf<T>() : SumOfElements();

    /// <summary>One element; it stays the batch's.</summary>
    public ref T this[int index] => ref Span[index];

    T IReadOnlyList<T>.this[int index] => Span[index];

    /// <summary>Places for elements, those not filled yet too.</summary>
    internal Span<T> Room
    {
        get
        {
            if (!IsPlain) return (_array ?? throw Disposed()).AsSpan(0, Capacity);
            Span<byte> bytes = Buffer.AsSpan(0, Capacity * Unsafe.SizeOf<T>());
            return MemoryMarshal.CreateSpan(ref Unsafe.As<byte, T>(ref MemoryMarshal.GetReference(bytes)), Capacity);
        }
    }

    internal int Capacity { get; }

    private BatchBuffer Buffer => _buffer ?? throw Disposed();

    /// <summary>A new array with the elements; not for elements that are disposed with the batch.</summary>
    public T[] ToArray() => Span.ToArray();

    /// <inheritdoc/>
    public IEnumerator<T> GetEnumerator()
    {
        for (int i = 0; i < Count; i++) yield return Span[i];
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>Disposes the elements and gives the memory back. Safe to call twice.</summary>
    public void Dispose()
    {
        if (_buffer is null && _array is null) return;
        if (Ownership<T>.Exists)
            foreach (ref T element in Span) Ownership<T>.Release(element);
        if (_array is not null) ArrayPool<T>.Shared.Return(_array, clearArray: true);
        _buffer?.Dispose();
        (_buffer, _array, Count) = (null, null, 0);
    }

    /// <summary>Places for <paramref name="capacity"/> elements, none filled.</summary>
    internal static ElementBatch<T> Rent(IBatchMemory memory, int capacity) => IsPlain
        ? new ElementBatch<T>(memory.Rent(ByteCountOf(capacity)), null, capacity)
        : new ElementBatch<T>(null, ArrayPool<T>.Shared.Rent(capacity), capacity);

    /// <summary>Says that the first <paramref name="count"/> places are filled now.</summary>
    internal void SetCount(int count) => Count = count;

    /// <summary>Hands an element over: it is not disposed with the batch any more.</summary>
    internal T Take(int index)
    {
        ref T place = ref Span[index];
        T element = place;
        place = default!;
        return element;
    }

    private static int ByteCountOf(int capacity) => (long)capacity * Unsafe.SizeOf<T>() is var byteCount && byteCount <= Array.MaxLength ? (int)byteCount
        : throw new BatchMemoryException($"{capacity:N0} elements of {Unsafe.SizeOf<T>():N0} bytes are more than the {Array.MaxLength:N0} bytes of one batch: make batches smaller");

    private long SumOfElements()
    {
        long sum = 0;
        foreach (ref T element in Span) sum += ElementSize<T>.Of(element);
        return sum;
    }

    private static ObjectDisposedException Disposed() => new(nameof(ElementBatch<>));
}

/// <summary>Makes batches by hand.</summary>
public static class ElementBatch
{
    /// <summary>Copies elements, which must not own anything.</summary>
    /// <exception cref="ArgumentException">The elements are disposable: they can't belong to two owners.</exception>
    public static ElementBatch<T> From<T>(ReadOnlySpan<T> elements, IBatchMemory? memory = null)
    {
        if (Ownership<T>.IsCertain) throw new ArgumentException($"elements of type {typeof(T).Name} are disposable and can't be copied", nameof(elements));
        ElementBatch<T> batch = ElementBatch<T>.Rent(memory ?? PinnedBatchMemory.Shared, elements.Length);
        elements.CopyTo(batch.Room);
        batch.SetCount(elements.Length);
        return batch;
    }
}
