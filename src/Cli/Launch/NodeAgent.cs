using System.Globalization;
using System.Text;
using DistTrain.Collectives;

namespace DistTrain.Cli;

/// <summary>
/// One node of a job on several: joins the group, runs this node's ranks while a round lasts, and joins again when it is over, until the ranks of all nodes have ended well or the restarts are
/// used up. All nodes then know how it ended, by the same words in the store.
/// </summary>
/// <param name="options">What to run.</param>
/// <param name="secret">The job's secret.</param>
/// <param name="store">Where the nodes meet.</param>
/// <param name="membership">This node's part in the group.</param>
/// <param name="runGroup">Runs this node's ranks until they end or the round is over.</param>
/// <param name="stop">What ends the job from outside.</param>
/// <param name="say">Tells the user one line.</param>
internal sealed class NodeAgent(
    LaunchOptions options, JobSecret secret, IRendezvousStore store, ElasticMembership membership, Func<RankPlacement, Func<bool>, GroupResult> runGroup, NodeStop stop, Action<string> say)
{
    private const string EndKey = "launch/end";
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);
    private RendezvousException? _lostStore;

    /// <summary>How long a round may take to form.</summary>
    public TimeSpan JoinTimeout { get; init; } = TimeSpan.FromMinutes(10);

    /// <returns>The launcher's exit code.</returns>
    /// <exception cref="RendezvousException">The store is gone, or no round formed in time.</exception>
    public int Run()
    {
        while (true)
        {
            MembershipRound? round = Join(out int code);
            if (round is null) return code;
            if (round.FailureCount > options.MaxRestarts) return GiveUp(round);
            if (Place(round) is not { } placement) continue;
            Announce(round);
            GroupResult result = runGroup(placement, () => IsOver(round));
            if (_lostStore is not null) throw _lostStore;
            if (stop.Signal() != 0) return Leave(LaunchEnd.OfStopped(result, stop.Signal()));
            if (result.FirstFailure is { } failure)
            {
                if (stop.WasWarned() && failure.ExitCode == ExitCode.Retryable) return Leave(failure.ExitCode);
                string text = $"rank {failure.Rank} on node {round.NodeRank} ({membership.Node.Id}) failed: {failure}";
                // What the command line asks for is as impossible the next time.
                if (failure.ExitCode == ExitCode.Usage) return End(failure.ExitCode, $"{text}; that means wrong usage: it would not help to start again");
                store.CompareExchange(FailureKey(round.Number), null, Encode(failure.ExitCode, text));
                membership.RequestRound(round, hasFailed: true);
            }
            else if (result.IsComplete && HaveAllEnded(round))
            {
                store.CompareExchange(EndKey, null, Encode(ExitCode.Ok, "all ranks have ended"));
                membership.End();
                return ExitCode.Ok;
            }
        }
    }

    private static string FailureKey(long round) => $"launch/failure/{round}";

    private static byte[] Encode(int code, string text) => Encoding.UTF8.GetBytes($"{code} {text}");

    private static (int Code, string Text) Decode(byte[] value)
    {
        string[] parts = Encoding.UTF8.GetString(value).Split(' ', 2);
        return int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int code) && parts.Length == 2 ? (code, parts[1]) : (ExitCode.Failure, "an unreadable end");
    }

    private MembershipRound? Join(out int code)
    {
        code = 0;
        try
        {
            return membership.Join(JoinTimeout, stop.Stopping);
        }
        catch (OperationCanceledException)
        {
            code = 128 + stop.Signal();
        }
        catch (RendezvousException) when (store.TryGet(EndKey, out _))
        {
            (code, string text) = Decode(store.TryGet(EndKey, out byte[]? end) ? end : []);
            if (code != ExitCode.Ok) say(text);
        }
        return null;
    }

    /// <summary>Node 0 of the round names the place where its rank 0 can be met; null if the round ended before it did.</summary>
    private RankPlacement? Place(MembershipRound round)
    {
        string key = $"launch/master/{round.Number}";
        int port = 0;
        if (round.NodeRank == 0)
        {
            port = GenerationSecret.FreePort();
            store.Set(key, BitConverter.GetBytes(port));
        }
        byte[]? told;
        while (!store.TryGet(key, out told))
        {
            if (IsOver(round) || stop.Signal() != 0) return _lostStore is null ? null : throw _lostStore;
            Thread.Sleep(PollInterval);
        }
        port = told.Length == sizeof(int) ? BitConverter.ToInt32(told) : port;
        return new RankPlacement(
            (int)round.Number - 1, round.FirstRank, round.WorldSize, round.NodeRank, round.Nodes.Count, round.Nodes[0].Address, port,
            GenerationSecret.Derive(secret, round.Number), GenerationSecret.Rendezvous(round.Number));
    }

    private void Announce(MembershipRound round)
    {
        string nodes = $"{round.Nodes.Count} node(s), {round.WorldSize} ranks, here {round.FirstRank} to {round.FirstRank + options.ProcessesPerNode - 1}";
        if (round.Number == 1)
        {
            say($"round 1: {nodes}");
            return;
        }
        string why = store.TryGet(FailureKey(round.Number - 1), out byte[]? failure) ? Decode(failure).Text : "nodes came or went";
        say($"round {round.Number}: {nodes}; failures {round.FailureCount} of at most {options.MaxRestarts} ({why})");
    }

    private bool IsOver(MembershipRound round)
    {
        try
        {
            return membership.IsOver(round);
        }
        catch (RendezvousException failure)
        {
            // Without the store nobody knows who is there: this node's ranks stop, and the launcher says why.
            _lostStore = failure;
            return true;
        }
    }

    private bool HaveAllEnded(MembershipRound round)
    {
        store.Set(DoneKey(round, round.NodeRank), []);
        while (true)
        {
            bool isOver = IsOver(round);
            if (_lostStore is not null) throw _lostStore;
            if (Enumerable.Range(0, round.Nodes.Count).All(node => store.TryGet(DoneKey(round, node), out _))) return true;
            if (isOver || stop.Signal() != 0) return false;
            Thread.Sleep(PollInterval);
        }
    }

    private static string DoneKey(MembershipRound round, int node) => $"launch/done/{round.Number}/{node}";

    private int GiveUp(MembershipRound round)
    {
        (int code, string text) = store.TryGet(FailureKey(round.Number - 1), out byte[]? failure) ? Decode(failure) : (ExitCode.Retryable, "a node was lost");
        return End(code, $"{text}; all {options.MaxRestarts} restarts are used up");
    }

    /// <summary>The job is over for all nodes; who says so first says how.</summary>
    private int End(int code, string text)
    {
        store.CompareExchange(EndKey, null, Encode(code, text));
        membership.End();
        (code, text) = store.TryGet(EndKey, out byte[]? end) ? Decode(end) : (code, text);
        say(text);
        return code;
    }

    private int Leave(int code)
    {
        membership.Leave();
        return code;
    }
}

/// <summary>What ends a node's part from outside.</summary>
/// <param name="Signal">The signal that ends the job; 0: none came.</param>
/// <param name="WasWarned">Whether the cluster has announced that it takes the machine.</param>
/// <param name="Stopping">Cancelled by the first signal that ends the job.</param>
internal sealed record NodeStop(Func<int> Signal, Func<bool> WasWarned, CancellationToken Stopping);
