namespace DistTrain.Collectives;

/// <summary>
/// One coming together of all ranks over a store. Who has arrived and who has left stands in words of one bit a rank, so that those who are late can be named. Nobody is needed in particular: any
/// rank that sees that all have arrived may bring about the end, and only the tidying, which keeps nobody from anything but the next meeting of the same name, hangs on the one who leaves last.
/// </summary>
internal sealed class StoreMeeting
{
    // The sign bit stays out, and one more: all bits of a word added up are a positive number. A word has a bit for each rank, a top word one for each word.
    private const int BitsPerWord = 62;
    internal const int MaxRankCount = BitsPerWord * BitsPerWord;
    private readonly IRendezvousStore _store;
    private readonly string _what, _prefix;
    private readonly int _rank;
    private readonly Deadline _deadline;

    internal StoreMeeting(IRendezvousStore store, string verb, string name, int rank, int worldSize, Deadline deadline)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(worldSize, MaxRankCount);
        ArgumentOutOfRangeException.ThrowIfNegative(rank);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(rank, worldSize);
        RendezvousLimits.CheckTimeout(deadline.Timeout);
        (_store, _rank, WorldSize, _deadline) = (store, rank, worldSize, deadline);
        _what = $"{verb} '{name}' over {store.Description}";
        // The world size is a part of the name: ranks that disagree about it wait for each other in vain, and are named, instead of mixing.
        _prefix = $"{verb}/{name}/{worldSize}";
        RendezvousLimits.Encode(Key("arrived10000"));
    }

    internal int WorldSize { get; }

    private int WordCount => (WorldSize + BitsPerWord - 1) / BitsPerWord;

    private int OwnWord => _rank / BitsPerWord;

    private long OwnBit => 1L << (_rank % BitsPerWord);

    // Others wait longer, so that not all do the same work at the same moment.
    private TimeSpan Patience => TimeSpan.FromSeconds(1 + (_rank % 8));

    internal string Key(string part) => $"{_prefix}/{part}";

    internal RendezvousException Meddled(string found) => new($"{_what}: {found}; the job changed keys under {_prefix}");

    /// <summary>Waits until all have left the meeting of the same name before: its end can't be this one's, for which this rank is needed.</summary>
    internal void Enter()
    {
        var pause = new PollPause();
        while (_store.TryGet(Key("done"), out _))
        {
            if (_deadline.IsOver) throw NotLeft();
            pause.Wait(_deadline.Left, _deadline.CancellationToken);
        }
        if ((ReadWord("arrived", OwnWord) & OwnBit) != 0)
            throw new RendezvousException($"{_what}: rank {_rank} has arrived already: either two processes have this rank, or an earlier call failed; after a failure use another name");
    }

    internal void Arrive() => _store.Add(Key($"arrived{OwnWord}"), OwnBit);

    /// <summary>Waits for the end, or brings it about once all have arrived: the last one at once, any other if that one seems not to.</summary>
    internal byte[] AwaitDone(Action publish)
    {
        bool isPublished = false;
        while (true)
        {
            List<int> missing = FindMissing("arrived", stopAtFirst: !_deadline.IsOver);
            if (missing.Count > 0 && _deadline.IsOver) throw StoreTimeouts.Ranks(_what, WorldSize, _deadline.Timeout, "did not arrive", missing);
            if (missing.Count == 0 && !isPublished && !_store.TryGet(Key("done"), out _))
            {
                publish();
                isPublished = true;
            }
            try
            {
                return _store.Get(Key("done"), Patience < _deadline.Left ? Patience : _deadline.Left, _deadline.CancellationToken);
            }
            catch (RendezvousTimeoutException failure) when (failure.MissingKeys.Count > 0)
            {
                // Again, with a look at who is there.
            }
        }
    }

    /// <summary>The last to leave removes what is left; the end goes last of what others look at, for whoever comes again waits for that.</summary>
    /// <param name="parts">What this kind of meeting has beside what all have.</param>
    internal void Leave(IReadOnlyList<string> parts)
    {
        if (_store.Add(Key($"left{OwnWord}"), OwnBit) != FullWord(OwnWord)) return;
        if (WordCount > 1 && _store.Add(Key("left"), 1L << OwnWord) != (1L << WordCount) - 1) return;
        _store.Set(Key("tidying"), StoreTable.WriteCounter(_rank));
        foreach (string part in parts) _store.Delete(Key(part));
        for (int word = 0; word < WordCount; word++)
        {
            _store.Delete(Key($"arrived{word}"));
            _store.Delete(Key($"left{word}"));
        }
        if (WordCount > 1) _store.Delete(Key("left"));
        _store.Delete(Key("done"));
        _store.Delete(Key("tidying"));
    }

    private RendezvousTimeoutException NotLeft()
    {
        List<int> missing = _store.TryGet(Key("tidying"), out byte[]? rank) ? [(int)StoreTable.ReadCounter(Key("tidying"), rank, _store.Description)] : FindMissing("left", stopAtFirst: false);
        return StoreTimeouts.Ranks(_what, WorldSize, _deadline.Timeout, "did not leave the one before of this name", missing);
    }

    private long FullWord(int word) => (1L << int.Min(BitsPerWord, WorldSize - (word * BitsPerWord))) - 1;

    private List<int> FindMissing(string kind, bool stopAtFirst)
    {
        var missing = new List<int>();
        for (int word = 0; word < WordCount; word++)
        {
            long absent = FullWord(word) & ~ReadWord(kind, word);
            for (int bit = 0; bit < BitsPerWord; bit++)
                if ((absent >> bit & 1) != 0) missing.Add((word * BitsPerWord) + bit);
            if (stopAtFirst && missing.Count > 0) break;
        }
        return missing;
    }

    private long ReadWord(string kind, int word) => StoreTable.ReadCounter(Key($"{kind}{word}"), _store.TryGet(Key($"{kind}{word}"), out byte[]? value) ? value : null, _store.Description);
}
