using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.ParameterServer.Tests;

/// <summary>Servers of one model that went on from different updates: found, and said with names and numbers.</summary>
public sealed class ServerDriftTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-drift-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_server_that_alone_goes_on_from_an_older_snapshot_is_named_with_what_it_misses()
    {
        string killed = Path.Combine(_folder, "killed");
        await using Served first = await Served.StartAsync();
        Served second = await Served.StartAsync(Options(Path.Combine(_folder, "second")));
        await using Proxy proxy = new(second.Host.Port);
        List<string> said = [];
        using CpuDevice device = new("cpu", InstructionSets.Best, 1);
        using ParameterServerStrategy strategy = new(device, [first.Remote(), second.Remote(proxy.Port)], "w", 0, 1) { Say = said.Add };
        Assert.Empty(strategy.ReadStatistics());
        await Task.Run(() => strategy.Run(replica =>
        {
            using Mlp model = new(4, 2);
            model.Initialize(replica.Stream, 1);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, parameters => new Sgd(parameters, 0));
            Update(replica, variables, 5);
            second.Store.Save();
            Directory.Move(Path.Combine(_folder, "second"), killed);
            Update(replica, variables, 10);
            Assert.Empty(said);

            Dispose(second);
            second = Start(Options(killed));
            proxy.Target = second.Host.Port;
            Update(replica, variables, 2);
            Assert.Equal([17, 7], strategy.ReadStatistics().Select(server => server.Version));
        }));
        await second.DisposeAsync();
        Assert.Equal([$"parameter server 127.0.0.1:{proxy.Port} (1) stands at update 5, parameter server 127.0.0.1:{first.Host.Port} (0) at 15: 10 updates are missing in the variables of the one that is behind, and are not made again"], said);
    }

    [Theory]
    [InlineData(155, 155, 155, 3, null)]
    [InlineData(155, 152, 160, 3, null)]
    [InlineData(155, 163, 160, 3, null)]
    [InlineData(155, 151, 160, 3, "b stands at update 151, a at 155: 4 updates are missing in the variables of the one that is behind, and are not made again")]
    [InlineData(120, 1155, 121, 3, "a stands at update 121, b at 1,155: steps of 1,034 updates are given out again, and the one that is ahead gets them twice")]
    public void Pushes_on_their_way_are_no_drift(long before, long version, long after, int workers, string? line) =>
        Assert.Equal(line is null ? [] : [line], ServerDrift.Describe(["a", "b"], before, [At(before, workers), At(version, workers)], after));

    private static void Update(Replica replica, ReplicaVariables variables, int count)
    {
        for (int i = 0; i < count; i++)
        {
            variables.Begin();
            variables.Update(replica.Stream, 1);
        }
    }

    private static ParameterServerStatistics At(long version, int workers) => new(version, version, workers, 0, new long[ParameterServerStatistics.StalenessCountLength], 0);

    private static ParameterStoreOptions Options(string folder) => new() { Checkpoints = new CheckpointOptions { Folder = folder } };

    // Within a worker's code, which runs on a thread of its own.
    private static Served Start(ParameterStoreOptions options) => Task.Run(() => Served.StartAsync(options)).GetAwaiter().GetResult();

    private static void Dispose(Served served) => Task.Run(() => served.DisposeAsync().AsTask()).GetAwaiter().GetResult();
}
