using System.Buffers.Binary;

namespace DistTrain.Collectives;

/// <summary>
/// What a group of ranks does over a store: meet, and tell each other some bytes. Each takes about the same few requests of every rank, so the store's work grows with the number of ranks, not its
/// square. A rank that dies after it arrived does not keep the others from going on. Names may be used again by the same ranks once a call returned, and keep one key each; after a failure or a
/// restart use another name, for what the failed ranks left stays in the store.
/// </summary>
public static class RendezvousExchange
{
    /// <summary>Ranks that can meet.</summary>
    public const int MaxRankCount = StoreMeeting.MaxRankCount;

    /// <summary>Bytes that each rank may give to <see cref="ExchangeAll"/>: a value less the length before it.</summary>
    public const int MaxExchangeByteCount = RendezvousLimits.MaxValueByteCount - sizeof(int);

    /// <summary>Blocks until all ranks have called it with the same name and world size.</summary>
    /// <exception cref="RendezvousTimeoutException">Some ranks did not come; the message names them.</exception>
    /// <exception cref="RendezvousException">This rank came twice.</exception>
    /// <exception cref="OperationCanceledException">The token ended the wait; the barrier can't be passed any more.</exception>
    public static void Barrier(this IRendezvousStore store, string name, int rank, int worldSize, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        var meeting = new StoreMeeting(store, "barrier", name, rank, worldSize, new Deadline(timeout, cancellationToken));
        meeting.Enter();
        meeting.Arrive();
        meeting.AwaitDone(() => store.Set(meeting.Key("done"), []));
        meeting.Leave([]);
    }

    /// <summary>Gives every rank the bytes of all ranks. Blocks until all have called it with the same name and world size.</summary>
    /// <param name="store">The store.</param>
    /// <param name="name">What is exchanged; keys and errors carry it.</param>
    /// <param name="rank">This rank.</param>
    /// <param name="worldSize">The number of ranks, at most <see cref="MaxRankCount"/>.</param>
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
        if (value.Length > MaxExchangeByteCount)
            throw new ArgumentException($"exchange '{name}': {value.Length:N0} bytes, a rank may give {MaxExchangeByteCount:N0}; send bulk data through a communicator", nameof(value));
        var meeting = new StoreMeeting(store, "exchange", name, rank, worldSize, new Deadline(timeout, cancellationToken));
        meeting.Enter();
        store.Set(meeting.Key($"{rank}"), value);
        meeting.Arrive();
        int blockCount = (int)StoreTable.ReadCounter(meeting.Key("done"), meeting.AwaitDone(() => Publish(store, meeting)), store.Description);
        byte[][] values = Unpack(store, meeting, blockCount);
        meeting.Leave([.. Enumerable.Range(0, blockCount).Select(i => $"block{i}"), .. Enumerable.Range(0, worldSize).Select(other => $"{other}")]);
        return values;
    }

    /// <summary>Puts the bytes of all ranks together, so that each rank reads a few values instead of all. Whoever does it, and however often, the result is the same.</summary>
    private static void Publish(IRendezvousStore store, StoreMeeting meeting)
    {
        var block = new List<byte>();
        int blockCount = 0;
        Span<byte> length = stackalloc byte[sizeof(int)];
        for (int rank = 0; rank < meeting.WorldSize; rank++)
        {
            byte[] value = store.TryGet(meeting.Key($"{rank}"), out byte[]? found) ? found : throw meeting.Meddled($"rank {rank} arrived without bytes");
            if (block.Count + sizeof(int) + value.Length > RendezvousLimits.MaxValueByteCount)
            {
                store.Set(meeting.Key($"block{blockCount++}"), block.ToArray());
                block.Clear();
            }
            BinaryPrimitives.WriteInt32LittleEndian(length, value.Length);
            block.AddRange(length);
            block.AddRange(value);
        }
        store.Set(meeting.Key($"block{blockCount++}"), block.ToArray());
        store.Set(meeting.Key("done"), StoreTable.WriteCounter(blockCount));
    }

    private static byte[][] Unpack(IRendezvousStore store, StoreMeeting meeting, int blockCount)
    {
        var values = new List<byte[]>(meeting.WorldSize);
        for (int i = 0; i < blockCount; i++)
        {
            ReadOnlySpan<byte> block = store.TryGet(meeting.Key($"block{i}"), out byte[]? found) ? found : throw meeting.Meddled($"block {i} is missing");
            while (!block.IsEmpty)
            {
                int length = block.Length < sizeof(int) ? -1 : BinaryPrimitives.ReadInt32LittleEndian(block);
                if (length < 0 || length > block.Length - sizeof(int)) throw meeting.Meddled($"block {i} is damaged");
                values.Add(block.Slice(sizeof(int), length).ToArray());
                block = block[(sizeof(int) + length)..];
            }
        }
        return values.Count == meeting.WorldSize ? [.. values] : throw meeting.Meddled($"it holds {values.Count} values");
    }
}
