using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>
/// The elements of a whole pass, in memory. One pass at a time gathers them; only when it has come to the end are they shown to others. Thread-safe. With a
/// codec elements are kept as bytes and each taker gets a copy.
/// </summary>
internal sealed class CacheStore<T>(ElementCodec<T>? codec)
{
    private readonly Lock _lock = new();
    private Filling? _complete;

    /// <summary>Whether a whole pass is here.</summary>
    internal bool IsComplete => Volatile.Read(ref _complete) is not null;

    /// <summary>Whether a pass was given up because it did not fit the memory budget.</summary>
    internal bool IsTooLarge { get; private set; }

    internal long Count => _complete!.Count;

    internal Filling BeginFilling(IngestOptions options) => new(this, codec, MemoryBudget.Resolve(options));

    internal (T Element, long Index) Get(long position) => _complete!.Get(checked((int)position));

    private void Publish(Filling filling)
    {
        lock (_lock) _complete ??= filling;
    }

    /// <summary>What one pass has gathered so far.</summary>
    internal sealed class Filling(CacheStore<T> store, ElementCodec<T>? codec, long budget)
    {
        private readonly List<T> _elements = [];
        private readonly List<byte[]> _encoded = [];
        private readonly ArrayBufferWriter<byte> _buffer = new();

        // Only where an element's index is not its place.
        private List<long>? _indices;
        private long _byteCount;

        internal int Count => codec is null ? _elements.Count : _encoded.Count;

        /// <returns>False if this element does not fit any more: what was gathered is then dropped.</returns>
        internal bool TryAdd(in T element, long index)
        {
            KeepIndex(index);
            if (codec is null)
            {
                if (Ownership<T>.Exists && element is IDisposable) throw new NotSupportedException($"Cache: an element is a {element.GetType()}, which is disposable, in a dataset of {typeof(T)}, which is not: give a codec");
                _elements.Add(element);
                _byteCount += ElementSize<T>.Of(element);
            }
            else
            {
                _buffer.ResetWrittenCount();
                codec.Write(_buffer, element);
                _encoded.Add(_buffer.WrittenSpan.ToArray());
                _byteCount += _buffer.WrittenCount;
            }
            if (_byteCount <= budget) return true;
            store.IsTooLarge = true;
            return false;
        }

        internal void Complete() => store.Publish(this);

        internal (T Element, long Index) Get(int place) => (codec is null ? _elements[place] : codec.Read(_encoded[place]), _indices?[place] ?? place);

        private void KeepIndex(long index)
        {
            if (_indices is null && index != Count)
            {
                _indices = [];
                for (int i = 0; i < Count; i++) _indices.Add(i);
            }
            _indices?.Add(index);
        }
    }
}
