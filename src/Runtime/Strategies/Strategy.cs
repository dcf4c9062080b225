using System.Runtime.ExceptionServices;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// How one program trains on several devices: the role of tf.distribute's strategies. The program is written once, for a replica; <see cref="Run"/> executes it on every replica of this
/// process, and other processes do the same. What differs is in the variables that <see cref="CreateVariables"/> makes: where parameters live and how gradients become new values.
/// </summary>
public abstract class Strategy : IDisposable
{
    private readonly bool _ownsDevices;

    /// <param name="name">As in <c>--strategy</c>.</param>
    /// <param name="replicas">The replicas of this process.</param>
    /// <param name="ownsDevices">Whether devices are disposed with the strategy.</param>
    private protected Strategy(string name, IReadOnlyList<Replica> replicas, bool ownsDevices) => (Name, Replicas, _ownsDevices) = (name, replicas, ownsDevices);

    /// <summary>As in <c>--strategy</c>.</summary>
    public string Name { get; }

    /// <summary>Replicas in all, over all processes.</summary>
    public int ReplicaCount => Replicas[0].Count;

    /// <summary>The replicas of this process.</summary>
    public IReadOnlyList<Replica> Replicas { get; }

    /// <summary>
    /// Puts a model's parameters and state under the strategy: all replicas get the first one's values; names and shapes are compared. Collective: every replica calls it, in the same order.
    /// </summary>
    /// <param name="replica">The calling replica.</param>
    /// <param name="model">Initialised on the replica's device; stays the caller's, and must outlive the variables.</param>
    /// <param name="optimizer">Makes the optimizer over the parameters that it is given.</param>
    /// <param name="options">Clipping and buckets; the same on all replicas.</param>
    /// <exception cref="ArgumentException">The replica is another strategy's, the model lies on another device or belongs to other variables, or the optimizer has parameters that are not the model's.</exception>
    /// <exception cref="StateMismatchException">Replicas have different models; the message lists the differences.</exception>
    public abstract ReplicaVariables CreateVariables(Replica replica, Module model, Func<IReadOnlyList<Parameter>, Optimizer> optimizer, VariableOptions? options = null);

    /// <summary>
    /// Runs a program on every replica of this process, each on its own thread, and returns when all have ended. If one fails, the others are stopped at their next collective, in other
    /// processes too.
    /// </summary>
    /// <exception cref="Exception">What the first replica to fail threw.</exception>
    public void Run(Action<Replica> program)
    {
        ArgumentNullException.ThrowIfNull(program);
        ReplicaFailures failures = new(Stop);
        Thread[] threads = [.. Replicas.Skip(1).Select(replica => new Thread(() => failures.Guard(replica, program)) { Name = replica.ToString() })];
        foreach (Thread thread in threads) thread.Start();
        failures.Guard(Replicas[0], program);
        foreach (Thread thread in threads) thread.Join();
        failures.ThrowFirst();
    }

    /// <summary>The same for a program with a result: the results of this process's replicas, in their order.</summary>
    public T[] Run<T>(Func<Replica, T> program)
    {
        ArgumentNullException.ThrowIfNull(program);
        T[] results = new T[Replicas.Count];
        Run(replica => { results[replica.LocalIndex] = program(replica); });
        return results;
    }

    /// <summary>Leaves the group, and disposes devices that the strategy opened.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        foreach (Replica replica in Replicas) replica.Communicator.Dispose();
        DisposeOwn();
        if (!_ownsDevices) return;
        foreach (Replica replica in Replicas) replica.Device.Dispose();
    }

    /// <summary>Disposes what the strategy has besides its replicas.</summary>
    private protected virtual void DisposeOwn()
    {
    }

    /// <summary>A replica has failed: stops the others wherever they wait for it.</summary>
    private protected virtual void Stop(Replica failed, string reason) => failed.Communicator.Abort(reason);

    /// <summary>Makes variables of a model that nobody else has, for a replica of this strategy.</summary>
    /// <exception cref="ArgumentException">The replica is another strategy's, the model lies on another device or belongs to other variables.</exception>
    private protected ReplicaVariables Own(Replica replica, Module model, Func<ReplicaVariables> create)
    {
        ArgumentNullException.ThrowIfNull(replica);
        ArgumentNullException.ThrowIfNull(model);
        if (!Replicas.Contains(replica)) throw new ArgumentException($"{Name}: {replica} is not one of this strategy's {Replicas.Count}: create variables with the strategy that runs the program", nameof(replica));
        ReplicaVariables.CheckFree(model);
        if (model.Parameters().FirstOrDefault(parameter => parameter.Value.Device != replica.Device) is { } elsewhere)
            throw new ArgumentException($"{Name}: parameter '{elsewhere.Name}' lies on {elsewhere.Value.Device.Name}, {replica}: initialise the model on the stream of the replica that it is for", nameof(model));
        ReplicaVariables variables = create();
        variables.Claim();
        return variables;
    }

    /// <summary>Replicas of this process alone: GPUs joined by NCCL where it is there, others in memory.</summary>
    private protected static Replica[] Join(IReadOnlyList<ComputeDevice> devices, CommunicatorOptions? options)
    {
        bool overNccl = devices.Count > 1 && devices.All(device => device.Kind == DeviceKind.Cuda) && ShimLibrary.IsTransportAvailable("nccl", out _);
        ICommunicator[] communicators = overNccl ? Communicator.Nccl(devices, options) : Communicator.InProcess(devices.Count, options);
        return [.. devices.Select((device, i) => new Replica(i, device, communicators[i]))];
    }

    /// <summary>Checks that devices can work together.</summary>
    /// <exception cref="ArgumentException">None, one twice, or of different kinds.</exception>
    private protected static IReadOnlyList<ComputeDevice> CheckDevices(string strategy, IReadOnlyList<ComputeDevice> devices, bool ofOneKind = true)
    {
        ArgumentNullException.ThrowIfNull(devices);
        if (devices.Count == 0) throw new ArgumentException($"{strategy}: no devices; name at least one", nameof(devices));
        if (devices.GroupBy(device => device).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new ArgumentException($"{strategy}: device {twice.Key.Name} is named twice; each replica needs its own (slices of the CPU are cpu:0/2, cpu:1/2)", nameof(devices));
        if (ofOneKind && devices.FirstOrDefault(device => device.Kind != devices[0].Kind) is { } other)
            throw new ArgumentException($"{strategy}: {devices[0].Name} is {devices[0].Kind}, {other.Name} is {other.Kind}; replicas would wait for the slowest and differ in their last bits: take devices of one kind", nameof(devices));
        return devices;
    }
}

/// <summary>Collects what replicas threw, stops the others, and tells what came first.</summary>
internal sealed class ReplicaFailures(Action<Replica, string> stop)
{
    private readonly Lock _lock = new();
    private Exception? _first;

    internal void Guard(Replica replica, Action<Replica> program)
    {
        Replica? outer = Replica.Current;
        Replica.Current = replica;
        try
        {
            program(replica);
        }
#pragma warning disable CA1031 // Thrown by ThrowFirst on the caller's thread.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            lock (_lock)
            {
                // What others throw because this one failed is no news; what stopped a collective may come before its cause.
                if (_first is null || (_first is CommunicatorAbortedException && failure is not CommunicatorAbortedException)) _first = failure;
            }
            // All replicas agree to stop at the same step: nobody waits for anybody then, and the group ends in order.
            if (failure is not PreemptedException) stop(replica, $"{replica} failed: {failure.Message}");
        }
        finally
        {
            Replica.Current = outer;
        }
    }

    internal void ThrowFirst()
    {
        if (_first is not null) ExceptionDispatchInfo.Throw(_first);
    }
}
