using System.Buffers.Binary;
using System.Diagnostics;

namespace DistTrain.Collectives;

/// <summary>
/// What a group of ranks does over a store: meet, and tell each other some bytes. Each takes about the same few requests of every rank, so the store's work grows with the number of ranks, not its
/// square. Names may be used again by the same ranks once a call returned; after a failure or a restart use another name, for what the failed ranks left stays in the store.
/// </summary>
public static class RendezvousExchange
{
    /// <summary>Ranks that <see cref="ExchangeAll"/> takes: each needs a key for a moment.</summary>
    public const int MaxExchangeRankCount = 3900;

    /// <summary>Bytes that each rank may give to <see cref="ExchangeAll"/>: a value less the length before it.</summary>
    public const int MaxExchangeByteCount = RendezvousLimits.MaxValueByteCount - sizeof(int);

    // The sign bit stays out: all arrivals of a word added up are a positive number that counts no rank twice.
    private const int RanksPerWord = 62;

    /// <summary>Blocks until all ranks have called it with the same name and world size.</summary>
    /// <exception cref="RendezvousTimeoutException">Some ranks did not come; the message names them.</exception>
    /// <exception cref="RendezvousException">This rank came twice.</exception>
    /// <exception cref="OperationCanceledException">The token ended the wait; the barrier can't be passed any more.</exception>
    public static void Barrier(this IRendezvousStore store, string name, int rank, int worldSize, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        var meeting = new Meeting(store, "barrier", name, rank, worldSize, timeout, cancellationToken);
        meeting.Enter();
        if (meeting.Arrive()) store.Set(meeting.Key("done"), []);
        meeting.AwaitDone();
        meeting.Leave(blockCount: 0);
    }

    /// <summary>Gives every rank the bytes of all ranks. Blocks until all have called it with the same name and world size.</summary>
    /// <param name="store">The store.</param>
    /// <param name="name">What is exchanged; keys and errors carry it.</param>
    /// <param name="rank">This rank.</param>
    /// <param name="worldSize">The number of ranks, at most <see cref="MaxExchangeRankCount"/>.</param>
    /// <param name="value">This rank's bytes, at most <see cref="MaxExchangeByteCount"/>.</param>
    /// <param name="timeout">The longest it may take.</param>
    /// <param name="cancellationToken">Ends the wait; the exchange can't be finished any more then.</param>
    /// <returns>The bytes by rank; they belong to the caller.</returns>
    /// <exception cref="RendezvousTimeoutException">Some ranks did not come; the message names them.</exception>
    /// <exception cref="RendezvousException">This rank came twice.</exception>
    /// <exception cref="OperationCanceledException">The token ended the wait.</exception>
    public static byte[][] ExchangeAll(
        this IRendezvousStore store, string name, int rank, int worldSize, ReadOnlySpan<byte> value, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(worldSize, MaxExchangeRankCount);
        if (value.Length > MaxExchangeByteCount)
            throw new ArgumentException($"exchange '{name}': {value.Length:N0} bytes, a rank may give {MaxExchangeByteCount:N0}; send bulk data through a communicator", nameof(value));
        var meeting = new Meeting(store, "exchange", name, rank, worldSize, timeout, cancellationToken);
        meeting.Enter();
        store.Set(meeting.Key($"{rank}"), value);
        if (meeting.Arrive()) Publish(store, meeting);
        int blockCount = BinaryPrimitives.ReadInt32LittleEndian(meeting.AwaitDone());
        byte[][] values = Unpack(store, meeting, blockCount);
        meeting.Leave(blockCount);
        return values;
    }

    private static void Publish(IRendezvousStore store, Meeting meeting)
    {
        var block = new List<byte>();
        int blockCount = 0;
        Span<byte> length = stackalloc byte[sizeof(int)];
        for (int rank = 0; rank < meeting.WorldSize; rank++)
        {
            byte[] value = store.Get(meeting.Key($"{rank}"), meeting.Left, meeting.CancellationToken);
            if (block.Count + sizeof(int) + value.Length > RendezvousLimits.MaxValueByteCount)
            {
                store.Set(meeting.Key($"block{blockCount++}"), block.ToArray());
                block.Clear();
            }
            BinaryPrimitives.WriteInt32LittleEndian(length, value.Length);
            block.AddRange(length);
            block.AddRange(value);
            store.Delete(meeting.Key($"{rank}"));
        }
        store.Set(meeting.Key($"block{blockCount++}"), block.ToArray());
        BinaryPrimitives.WriteInt32LittleEndian(length, blockCount);
        store.Set(meeting.Key("done"), length);
    }

    private static byte[][] Unpack(IRendezvousStore store, Meeting meeting, int blockCount)
    {
        var values = new List<byte[]>(meeting.WorldSize);
        for (int i = 0; i < blockCount; i++)
        {
            ReadOnlySpan<byte> block = store.Get(meeting.Key($"block{i}"), meeting.Left, meeting.CancellationToken);
            while (!block.IsEmpty)
            {
                int length = BinaryPrimitives.ReadInt32LittleEndian(block);
                values.Add(block.Slice(sizeof(int), length).ToArray());
                block = block[(sizeof(int) + length)..];
            }
        }
        if (values.Count != meeting.WorldSize)
            throw new RendezvousException($"{store.Description}: found {values.Count} values of {meeting.WorldSize} ranks under {meeting.Key("block0")}; the job changed keys that are not its own");
        return [.. values];
    }

    /// <summary>One coming together of all ranks: who has arrived stands in words of one bit a rank, so that those who are late can be named.</summary>
    private sealed class Meeting
    {
        private readonly IRendezvousStore _store;
        private readonly string _what, _prefix;
        private readonly int _rank;
        private readonly TimeSpan _timeout;
        private readonly long _began = Stopwatch.GetTimestamp();

        internal Meeting(IRendezvousStore store, string verb, string name, int rank, int worldSize, TimeSpan timeout, CancellationToken cancellationToken)
        {
            ArgumentNullException.ThrowIfNull(store);
            ArgumentException.ThrowIfNullOrEmpty(name);
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
            ArgumentOutOfRangeException.ThrowIfNegative(rank);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(rank, worldSize);
            RendezvousLimits.CheckTimeout(timeout);
            (_store, _rank, WorldSize, _timeout, CancellationToken) = (store, rank, worldSize, timeout, cancellationToken);
            _what = $"{verb} '{name}'";
            // The world size is a part of the name: ranks that disagree about it wait for each other in vain, and are named, instead of mixing.
            _prefix = $"{verb}/{name}/{worldSize}";
            RendezvousLimits.Encode(Key("arrived10000"));
        }

        internal int WorldSize { get; }

        internal CancellationToken CancellationToken { get; }

        internal TimeSpan Left
        {
            get
            {
                TimeSpan left = _timeout - Stopwatch.GetElapsedTime(_began);
                return left > TimeSpan.Zero ? left : TimeSpan.Zero;
            }
        }

        private int WordCount => (WorldSize + RanksPerWord - 1) / RanksPerWord;

        internal string Key(string part) => $"{_prefix}/{part}";

        /// <summary>Waits until all have left the meeting of the same name before: its end can't be this one's, for which this rank is needed.</summary>
        internal void Enter()
        {
            var pause = new PollPause();
            while (_store.TryGet(Key("done"), out _))
            {
                if (Left == TimeSpan.Zero)
                {
                    throw new RendezvousTimeoutException(
                        $"{_what} over {_store.Description}: not all ranks left the one before of this name within {_timeout.TotalSeconds:0.###} s; after a failure use another name");
                }
                pause.Wait(Left, CancellationToken);
            }
            if ((ReadWord(_rank / RanksPerWord) >> (_rank % RanksPerWord) & 1) != 0)
            {
                throw new RendezvousException(
                    $"{_what} over {_store.Description}: rank {_rank} has arrived already: either two processes have this rank, or an earlier call failed; after a failure use another name");
            }
        }

        /// <returns>Whether this rank is the last one.</returns>
        internal bool Arrive()
        {
            _store.Add(Key($"arrived{_rank / RanksPerWord}"), 1L << (_rank % RanksPerWord));
            return _store.Add(Key("count"), 1) == WorldSize;
        }

        internal byte[] AwaitDone()
        {
            try
            {
                return _store.Get(Key("done"), Left, CancellationToken);
            }
            catch (RendezvousTimeoutException failure)
            {
                throw StoreTimeouts.Ranks(_what, _store.Description, WorldSize, _timeout, FindMissing(), failure);
            }
        }

        /// <summary>The last to leave removes what is left; the end goes last, for whoever comes again waits for that.</summary>
        internal void Leave(int blockCount)
        {
            if (_store.Add(Key("left"), 1) != WorldSize) return;
            for (int i = 0; i < blockCount; i++) _store.Delete(Key($"block{i}"));
            for (int i = 0; i < WordCount; i++) _store.Delete(Key($"arrived{i}"));
            _store.Delete(Key("count"));
            _store.Delete(Key("left"));
            _store.Delete(Key("done"));
        }

        private List<int> FindMissing()
        {
            var missing = new List<int>();
            for (int word = 0; word < WordCount; word++)
            {
                long arrived = ReadWord(word);
                for (int rank = word * RanksPerWord; rank < int.Min((word + 1) * RanksPerWord, WorldSize); rank++)
                    if ((arrived >> (rank % RanksPerWord) & 1) == 0) missing.Add(rank);
            }
            return missing;
        }

        private long ReadWord(int word) => _store.TryGet(Key($"arrived{word}"), out byte[]? value) ? StoreTable.ReadCounter(Key($"arrived{word}"), value, _store.Description) : 0;
    }
}
