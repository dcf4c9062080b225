using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>
/// Keeps elements in memory: as they are, or, with a codec, as bytes of which each taker gets a copy. One pass at a time gathers them, and gives it up when it is found
/// to stand still or to be much slower than another one.
/// </summary>
internal sealed class MemoryCacheStore<T>(ElementCodec<T>? codec) : CacheStore<T>
{
    private readonly Lock _lock = new();
    private Filling? _complete, _filling;
    private bool _isTooLarge;

    internal override bool IsComplete => Volatile.Read(ref _complete) is not null;

    internal override long Count => _complete!.Count;

    internal override CacheFilling<T>? BeginFilling(StreamContext context)
    {
        lock (_lock)
        {
            if (IsComplete || Volatile.Read(ref _isTooLarge)) return null;
            if (_filling is not null) return new Onlooker(this, _filling);
            // The pass's own: it is only known here.
            Filling filling = new(this, codec, MemoryBudget.Resolve(context.Options));
            return _filling = filling;
        }
    }

    internal override CachedPass<T> OpenPass(StreamContext context) => new Pass(_complete!);

    internal override IndexedReader<T> OpenIndexed(StreamContext context) => new Reader(_complete!);

    private bool IsGathering(Filling filling) => Volatile.Read(ref _filling) == filling;

    private void End(Filling filling)
    {
        lock (_lock)
            if (_filling == filling) _filling = null;
    }

    /// <summary>A pass while another one gathers: it keeps nothing, and sees whether the other one gets on.</summary>
    private sealed class Onlooker(MemoryCacheStore<T> store, Filling other) : CacheFilling<T>
    {
        private readonly int _countBefore = other.Count;
        private int _passed;

        internal override bool TryAdd(in T element, long index)
        {
            _passed++;
            return store.IsGathering(other);
        }

        internal override void Complete()
        {
            if (other.Count - _countBefore < _passed / 2) store.End(other);
        }

        public override void Dispose()
        {
            // It has nothing.
        }
    }

    private sealed class Filling(MemoryCacheStore<T> store, ElementCodec<T>? codec, long budget) : CacheFilling<T>
    {
        private readonly List<T> _elements = [];
        private readonly List<byte[]> _encoded = [];
        private readonly ArrayBufferWriter<byte> _buffer = new();

        // Only where an element's index is not its place.
        private List<long>? _indices;
        private long _byteCount;

        internal int Count => codec is null ? _elements.Count : _encoded.Count;

        internal override bool TryAdd(in T element, long index)
        {
            if (!store.IsGathering(this)) return false;
            KeepIndex(index);
            if (codec is null) Keep(element);
            else Encode(codec, element);
            if (_byteCount <= budget) return true;
            Volatile.Write(ref store._isTooLarge, true);
            return false;
        }

        internal override void Complete()
        {
            lock (store._lock) store._complete ??= this;
        }

        public override void Dispose() => store.End(this);

        internal T Get(int place) => codec is null ? _elements[place] : codec.Read(_encoded[place]);

        internal long IndexOf(int place) => _indices?[place] ?? place;

        private void Keep(in T element)
        {
            if (Ownership<T>.Exists && element is IDisposable)
                throw new NotSupportedException($"Cache: an element is a {element.GetType()}, which is disposable, in a dataset of {typeof(T)}, which is not: give a codec");
            _elements.Add(element);
            _byteCount += ElementSize<T>.Of(element);
        }

        private void Encode(ElementCodec<T> known, in T element)
        {
            _buffer.ResetWrittenCount();
            known.Write(_buffer, element);
            _encoded.Add(_buffer.WrittenSpan.ToArray());
            _byteCount += _buffer.WrittenCount;
        }

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

    private sealed class Pass(Filling elements) : CachedPass<T>
    {
        private int _next;

        internal override bool TryNext([MaybeNullWhen(false)] out T element, out long index)
        {
            (element, index) = (default, -1);
            if (_next == elements.Count) return false;
            (element, index) = (elements.Get(_next), elements.IndexOf(_next));
            _next++;
            return true;
        }

        internal override long Skip(long count)
        {
            int skipped = (int)Math.Min(count, elements.Count - _next);
            _next += skipped;
            return skipped;
        }

        public override void Dispose()
        {
            // The elements stay the store's.
        }
    }

    private sealed class Reader(Filling elements) : IndexedReader<T>
    {
        public override long Count => elements.Count;

        public override T Read(long position) => elements.Get(checked((int)position));

        public override long IndexAt(long position) => elements.IndexOf(checked((int)position));
    }
}
