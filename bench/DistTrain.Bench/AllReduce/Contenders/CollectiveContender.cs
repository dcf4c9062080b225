using System.Diagnostics;
using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary>Ours: a verb of a communicator. Every rank writes what it sends before each call, as a backward pass does; then all meet, and only the call is timed.</summary>
public sealed class CollectiveContender : Contender
{
    private readonly RankWorld _world;
    private readonly ICommunicator _communicator;
    private readonly CollectiveBuffers _buffers;
    private readonly Collective _collective;
    private readonly PeerTransfer[] _transfers = [];
    private readonly long[] _ticks;
    private readonly bool _isCrowded;

    /// <summary>Allocates; collective where the memory is registered.</summary>
    public CollectiveContender(RankWorld world, string algorithm, CollectiveShape shape, long bytes, string memory, bool isCrowded, int mostCalls)
        : base(Turns.Ours)
    {
        ArgumentNullException.ThrowIfNull(world);
        ArgumentNullException.ThrowIfNull(shape);
        (_world, _communicator, _isCrowded, _ticks) = (world, world[algorithm], isCrowded, new long[mostCalls]);
        (Memory, Algorithm) = (memory, algorithm);
        _buffers = new CollectiveBuffers(_communicator, world.Stream, shape, bytes, isRegistered: memory == "registered");
        int rank = world.Rank, ranks = world.WorldSize;
        if (shape.Verb == CollectiveVerb.Send) _transfers = [PeerTransfer.Send(_buffers.Send, (rank + 1) % ranks), PeerTransfer.Receive(_buffers.Receive, (rank + ranks - 1) % ranks)];
        else _collective = new Collective(shape.Verb, _buffers.Send, shape.Verb == CollectiveVerb.Reduce && rank != 0 ? null : _buffers.Receive);
    }

    /// <inheritdoc/>
    public override double? Take(int calls, int warmCalls)
    {
        // Asleep until all are there: rank 0 may have a peer's turn to wait for, and engines wait awake.
        if (_communicator != _world.Control) _world.Control.Barrier(_world.Stream);
        for (int call = -warmCalls; call < calls; call++)
        {
            _buffers.Write(call);
            _communicator.Barrier(_world.Stream);
            long start = Stopwatch.GetTimestamp();
            Call();
            if (call >= 0) _ticks[call] = Stopwatch.GetTimestamp() - start;
        }
        WrongCount += (long)_world.Agree(_buffers.CountWrong(calls - 1), ReduceOp.Sum);
        return Slowest(_world, Typical(_ticks, calls, _isCrowded));
    }

    /// <summary>One call on data that tell every element's place apart, checked element by element.</summary>
    public void Check()
    {
        _buffers.WritePattern();
        _communicator.Barrier(_world.Stream);
        Call();
        WrongCount += (long)_world.Agree(_buffers.CountWrongOfPattern(), ReduceOp.Sum);
    }

    /// <summary>Runs until the runtime has compiled all that is timed at its highest tier: it counts 30 calls and then works in the background, after 100 ms without new code.</summary>
    public void Settle()
    {
        const int Calls = 60, Passes = 4;
        for (int pass = 0; pass < Passes; pass++)
        {
            for (int i = 0; i < Calls; i++) Take(1, 0);
            Thread.Sleep(150);
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _buffers.Dispose();
        base.Dispose();
    }

    private void Call()
    {
        if (_transfers.Length > 0) _communicator.Exchange(_world.Stream, _transfers);
        else _communicator.Run(_world.Stream, _collective);
    }
}
