using System.Net;
using System.Net.Sockets;
using DistTrain.Collectives;

namespace DistTrain.Cli.Tests;

/// <summary>Several launchers of one host as if they were nodes.</summary>
public sealed class NodesLaunchTests
{
    [Fact]
    public async Task Two_launchers_make_one_world_and_start_all_ranks_again_when_one_fails()
    {
        string port = $"{FreePort()}", secret = JobSecret.Create().ToHex();
        Task<ToolResult>[] nodes = [.. Enumerable.Range(0, 2).Select(node => Task.Factory.StartNew(() => Tool.RunWith([(JobSecret.Variable, secret)],
            "launch", "--nnodes", "2", "--allow-cpu-nodes", "--node-rank", $"{node}", "--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", port, "--max-restarts", "1", "--",
            "bash", "-c", "echo $TORCHELASTIC_RESTART_COUNT $RANK $WORLD_SIZE $LOCAL_RANK $GROUP_WORLD_SIZE $MASTER_PORT $DISTTRAIN_JOB_SECRET; [ $TORCHELASTIC_RESTART_COUNT = 1 ] || { [ $RANK = 3 ] && exit 4; sleep 68; }"),
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
        ToolResult[] results = await Task.WhenAll(nodes);

        Assert.Equal([0, 0], results.Select(result => result.ExitCode));
        string[][] last = [.. results.SelectMany(result => result.Output.TrimEnd().Split('\n')).Select(line => line.Split(' ')[1..]).Where(words => words[0] == "1").OrderBy(words => words[1])];
        Assert.Equal(["0 4 0 2", "1 4 1 2", "2 4 0 2", "3 4 1 2"], last.Select(words => string.Join(' ', words[1..5])));
        Assert.Single(last.Select(words => $"{words[5]} {words[6]}").Distinct());
        Assert.All(results, result => Assert.Contains("rank 3 on node 1", result.Errors, StringComparison.Ordinal));
        Assert.All(results, result => Assert.DoesNotContain(secret, result.Output, StringComparison.Ordinal));
    }

    [Fact]
    public void Several_nodes_need_a_secret_that_all_of_them_know()
    {
        ToolResult result = Tool.RunWith([(JobSecret.Variable, null), (JobSecret.FileVariable, null)], "launch", "--nnodes", "2", "--allow-cpu-nodes", "--master-addr", "127.0.0.1", "--", "true");

        Assert.Equal(2, result.ExitCode);
        Assert.Contains("all nodes must have the same job secret; give each DISTTRAIN_JOB_SECRET", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_signal_ends_the_wait_for_the_host_with_the_signals_code()
    {
        // A host that takes the connection and says nothing.
        using TcpListener host = new(IPAddress.Loopback, 0);
        host.Start();
        using Launched launched = new([(JobSecret.Variable, JobSecret.Create().ToHex())],
            ["--nnodes", "2", "--allow-cpu-nodes", "--node-rank", "1", "--master-addr", "127.0.0.1", "--master-port", $"{((IPEndPoint)host.LocalEndpoint).Port}", "--", "true"]);
        using Socket connection = await host.AcceptSocketAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        launched.Signal(15);
        Assert.Equal(143, launched.AwaitEnd().ExitCode);
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
