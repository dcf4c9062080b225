using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Asynchronous training: workers pull variables from parameter servers and push gradients without waiting for each other, so that a slow one slows nobody down (J. Dean et al., "Large Scale
/// Distributed Deep Networks", NIPS 2012). Steps are given out to whoever is ready; workers may join, leave and die at any moment. A step's gradients may be a few updates old when they are applied.
/// </summary>
public sealed class ParameterServerStrategy : Strategy
{
    private readonly Lock _lock = new();
    private readonly ParameterStoreOptions _options;
    private readonly string _worker;
    private readonly IParameterServer?[] _servers;
    private readonly ParameterStore?[] _stores;
    private readonly Dictionary<Replica, ParameterServerVariables> _made = [];
    private ParameterServerVariables? _first;

    /// <summary>Workers of this process, a thread each, with the servers in memory.</summary>
    /// <param name="devices">One for each worker; kinds may differ.</param>
    /// <param name="options">How the servers deal with workers.</param>
    /// <param name="serverCount">Servers that the variables are divided among.</param>
    /// <param name="ownsDevices">Whether devices are disposed with the strategy.</param>
    /// <exception cref="ArgumentException">No devices, one twice, or options that need one server.</exception>
    public ParameterServerStrategy(IReadOnlyList<ComputeDevice> devices, ParameterStoreOptions? options = null, int serverCount = 1, bool ownsDevices = false)
        : base(StrategyName, Join(CheckDevices(StrategyName, devices, ofOneKind: false), options: null), ownsDevices)
    {
        _options = options ?? new ParameterStoreOptions();
        _options.Check();
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(serverCount);
        if (serverCount > 1 && (_options.StalenessBound is not null || _options.GradientsPerUpdate > 1))
            throw new ArgumentException($"{serverCount} servers with a staleness bound or {_options.GradientsPerUpdate} gradients an update: each server counts by itself, so these need one server", nameof(serverCount));
        if (serverCount > 1 && _options.Checkpoints?.Storage is not null) throw new ArgumentException($"{serverCount} servers would save to one storage; give a folder, in which each gets its own", nameof(options));
        (_worker, _servers, _stores) = ("worker", new IParameterServer?[serverCount], new ParameterStore?[serverCount]);
    }

    /// <summary>One worker, the servers elsewhere.</summary>
    /// <param name="device">Where it computes.</param>
    /// <param name="servers">All servers, in the same order for every worker; stay the caller's.</param>
    /// <param name="worker">Its name, its own among all workers, the same when it is started again.</param>
    /// <param name="index">Its number; 0 speaks for all.</param>
    /// <param name="count">Workers that are meant to take part.</param>
    /// <param name="ownsDevice">Whether the device is disposed with the strategy.</param>
    public ParameterServerStrategy(ComputeDevice device, IReadOnlyList<IParameterServer> servers, string worker, int index, int count, bool ownsDevice = false)
        : base(StrategyName, [new Replica(CheckDevices(StrategyName, [device])[0], Communicator.InProcess(1)[0], index, count)], ownsDevice)
    {
        ArgumentNullException.ThrowIfNull(servers);
        ArgumentException.ThrowIfNullOrEmpty(worker);
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(count, index);
        if (servers.Count == 0) throw new ArgumentException("no servers", nameof(servers));
        (_options, _worker, _servers, _stores) = (new ParameterStoreOptions(), worker, [.. servers], []);
    }

    private const string StrategyName = "parameter-server";

    /// <summary>How the servers in this process stand, one behind the other; empty before the first variables are made, and where servers are elsewhere.</summary>
    public IReadOnlyList<ParameterServerStatistics> Statistics
    {
        get
        {
            lock (_lock) return [.. _stores.OfType<ParameterStore>().Select(store => store.Statistics)];
        }
    }

    /// <summary>Told by the first worker, in one line, of each server whose variables hold other updates than the first one's, since it went on from another snapshot; null: nobody.</summary>
    public Action<string>? Say { get; init; }

    /// <summary>How the servers stand wherever they are, one behind the other; empty before the first worker's variables are made. Those elsewhere are asked, between steps, as long as the variables live.</summary>
    /// <exception cref="ParameterServerException">A server is away.</exception>
    public IReadOnlyList<ParameterServerStatistics> ReadStatistics() => _stores.Length > 0 ? Statistics : _first?.ReadStatistics() ?? [];

    /// <inheritdoc/>
    /// <remarks>The first worker's values are the servers'. <paramref name="optimizer"/> is also called for the parameters of each server in this process; their order may be another one.</remarks>
    public override ReplicaVariables CreateVariables(Replica replica, Module model, Func<IReadOnlyList<Parameter>, Optimizer> optimizer, VariableOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(replica);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(optimizer);
        if (options is { VirtualShardCount: > 0 }) throw new ArgumentException("parameter-server has no virtual shards, which need replicas that work together; mirrored and multi-worker have", nameof(options));
        if (options is { Compression: { } compression }) throw new ArgumentException($"parameter-server sends gradients as they are, not by {compression.Name}: leave gradient compression out, or take mirrored or multi-worker", nameof(options));
        if (options is { LossScaling: not null }) throw new ArgumentException("parameter-server has no loss scale that all workers share: train with Precision.BFloat16, which needs none", nameof(options));
        if (SynchronizedBatchNorm.Wanted(model, options ?? new VariableOptions()) is [var norm, ..])
            throw new ArgumentException($"'{norm.Path}' is to normalise by the batch of all replicas, but parameter-server's work on batches of their own, whenever they are ready: take mirrored or multi-worker", nameof(options));
        return Own(replica, model, () =>
        {
            Optimizer own = ReplicaVariables.Covered(optimizer(model.Parameters()), model.Parameters());
            ParameterServerVariables made = new(replica, model, own, Servers(optimizer), Replicas.Count > 1 ? $"{_worker}-{replica.Index}" : _worker, options?.ClipNorm, Say);
            if (replica == Replicas[0]) _first = made;
            lock (_lock) _made[replica] = made;
            return made;
        });
    }

    // The others go on without it. Its variables may live on; the step that it was at would wait for them.
    private protected override void Stop(Replica failed, string reason)
    {
        base.Stop(failed, reason);
        ParameterServerVariables? variables;
        lock (_lock) _made.TryGetValue(failed, out variables);
        variables?.Leave();
    }

    private protected override void DisposeOwn()
    {
        foreach (ParameterStore? store in _stores) store?.Dispose();
    }

    private IReadOnlyList<IParameterServer> Servers(Func<IReadOnlyList<Parameter>, Optimizer> optimizer)
    {
        lock (_lock)
        {
            for (int i = 0; i < _stores.Length; i++) _servers[i] = _stores[i] ??= new ParameterStore(optimizer, OptionsOf(i));
            return _servers!;
        }
    }

    private ParameterStoreOptions OptionsOf(int server) => _servers.Length == 1 || _options.Checkpoints is null ? _options
        : _options with { Checkpoints = _options.Checkpoints with { Folder = Path.Combine(_options.Checkpoints.Folder!, $"server-{server}") } };
}
