namespace DistTrain.Collectives;

/// <summary>
/// One coming together of all ranks over a store. Who has arrived and who has left stands in words of one bit a rank, so that those who are late can be named. Nobody is needed in particular: any
/// rank that sees that all have arrived may bring about the end, and only the tidying hangs on the one who leaves last.
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
    private long _number;

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
        RendezvousLimits.Encode(Key("arrived10000") + long.MaxValue);
    }

    internal int WorldSize { get; }

    private int WordCount => (WorldSize + BitsPerWord - 1) / BitsPerWord;

    private int OwnWord => _rank / BitsPerWord;

    private long OwnBit => 1L << (_rank % BitsPerWord);

    // Others wait longer, so that not all do the same work at the same moment.
    private TimeSpan Patience => TimeSpan.FromSeconds(1 + (_rank % 8));

    private string NumberKey => $"{_prefix}/number";

    internal string Key(string part) => $"{_prefix}/{_number}/{part}";

    internal RendezvousException Meddled(string found) => new($"{_what}: {found}; the job changed keys under {_prefix}");

    /// <summary>
    /// Finds the meeting to take part in: meetings of one name are numbered, so that what is left of an ended one is in nobody's way. An ended one that this rank has left is followed by the next.
    /// </summary>
    internal void Enter()
    {
        while (true)
        {
            byte[]? number = _store.TryGet(NumberKey, out byte[]? found) ? found : null;
            _number = StoreTable.ReadCounter(NumberKey, number, _store.Description);
            bool hasEnded = _store.TryGet(Key("done"), out _);
            if (hasEnded && (ReadWord("left", OwnWord) & OwnBit) != 0)
            {
                Follow();
                continue;
            }
            bool isTwice = hasEnded || (ReadWord("arrived", OwnWord) & OwnBit) != 0;
            // Whoever tidies up goes to the next number first: as long as the number is the same, nothing of what was seen here was removed.
            if (!StoreTable.AreEqual(number, _store.TryGet(NumberKey, out found) ? found : null)) continue;
            if (!isTwice) return;
            throw new RendezvousException($"{_what}: rank {_rank} has arrived already: either two processes have this rank, or an earlier call failed; after a failure use another name");
        }
    }

    internal void Arrive() => _store.Add(Key($"arrived{OwnWord}"), OwnBit);

    /// <summary>Waits for the end, or brings it about once all have arrived: the last one at once, any other if that one seems not to.</summary>
    internal byte[] AwaitDone(Action publish)
    {
        bool isPublished = false;
        while (true)
        {
            bool isLastLook = _deadline.IsOver;
            try
            {
                List<int> missing = FindMissing("arrived", stopAtFirst: !isLastLook);
                if (missing.Count > 0 && isLastLook) throw StoreTimeouts.Ranks(_what, WorldSize, _deadline.Timeout, missing);
                if (missing.Count == 0 && !isPublished && !_store.TryGet(Key("done"), out _))
                {
                    publish();
                    isPublished = true;
                }
                return _store.Get(Key("done"), Patience < _deadline.Left ? Patience : _deadline.Left, _deadline.CancellationToken);
            }
            catch (RendezvousTimeoutException) when (!isLastLook)
            {
                // Not yet, or the store is away for a while: again, with a look at who is there.
                _deadline.CancellationToken.ThrowIfCancellationRequested();
            }
        }
    }

    /// <summary>The last to leave removes what is left. If it dies before, that stays, at no harm but for its room.</summary>
    /// <param name="parts">What this kind of meeting has beside what all have.</param>
    internal void Leave(IReadOnlyList<string> parts)
    {
        if (_store.Add(Key($"left{OwnWord}"), OwnBit) != FullWord(OwnWord)) return;
        if (WordCount > 1 && _store.Add(Key("left"), 1L << OwnWord) != (1L << WordCount) - 1) return;
        Follow();
        foreach (string part in parts) _store.Delete(Key(part));
        for (int word = 0; word < WordCount; word++)
        {
            _store.Delete(Key($"arrived{word}"));
            _store.Delete(Key($"left{word}"));
        }
        if (WordCount > 1) _store.Delete(Key("left"));
        _store.Delete(Key("done"));
    }

    /// <summary>This meeting has ended: the next of the name has the next number. Many may find that at once.</summary>
    private void Follow() => _store.CompareExchange(NumberKey, _number == 0 ? null : StoreTable.WriteCounter(_number), StoreTable.WriteCounter(_number + 1));

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
