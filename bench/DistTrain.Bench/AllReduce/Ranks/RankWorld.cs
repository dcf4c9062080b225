using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>One rank's communicators: one for each algorithm, as an algorithm is an option of a communicator, and one to agree on times with.</summary>
public sealed class RankWorld : IDisposable
{
    /// <summary>The name of the communicator to agree by.</summary>
    public const string ControlName = "control";

    private readonly Dictionary<string, ICommunicator> _communicators = [];
    private readonly Tensor _number;

    /// <summary>Joins; collective.</summary>
    /// <param name="options">Transport and algorithms.</param>
    /// <param name="isApart">Whether the communicator to agree by is not the measured transport's: where a rank that waits must sleep, as peers have their turn then.</param>
    /// <param name="join">Makes a communicator by its name and options.</param>
    /// <exception cref="CollectiveException">Ranks are missing.</exception>
    public RankWorld(AllReduceOptions options, bool isApart, Func<string, CommunicatorOptions, ICommunicator> join)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(join);
        Transport = options.Transport;
        Device = new CpuDevice("cpu", InstructionSets.Chosen(), 1);
        Stream = Device.DefaultStream;
        AlgorithmChooser? chooser = options.CostsFile is { } file ? AlgorithmChooser.Load(file) : null;
        CommunicatorOptions plain = new() { Timeout = TimeSpan.FromMinutes(2) };
        Control = join(ControlName, plain);
        _communicators[ControlName] = Control;
        foreach (string name in options.Algorithms)
            _communicators[name] = name == AlgorithmNames.Own && !isApart ? Control : join(name, name == AlgorithmNames.Auto ? plain with { Chooser = chooser } : plain with { Algorithm = AlgorithmNames.Parse(name) });
        _number = Tensor.Zeros(Stream, new Shape(1), DType.F64);
    }

    /// <summary>The device of all tensors: this rank's thread alone.</summary>
    public CpuDevice Device { get; }

    /// <summary>Its stream.</summary>
    public ExecutionStream Stream { get; }

    /// <summary>What carries the bytes that are measured.</summary>
    public string Transport { get; }

    /// <summary>For what is not measured.</summary>
    public ICommunicator Control { get; }

    /// <summary>This rank.</summary>
    public int Rank => Control.Rank;

    /// <summary>All ranks.</summary>
    public int WorldSize => Control.WorldSize;

    /// <summary>What runs an algorithm.</summary>
    public ICommunicator this[string algorithm] => _communicators[algorithm];

    /// <summary>All ranks get the reduction of a number of each.</summary>
    public unsafe double Agree(double number, ReduceOp op)
    {
        *(double*)_number.Pointer = number;
        Control.AllReduce(Stream, _number, op);
        return *(double*)_number.Pointer;
    }

    /// <summary>Leaves.</summary>
    public void Dispose()
    {
        _number.Dispose();
        foreach (ICommunicator communicator in _communicators.Values.Distinct().Reverse()) communicator.Dispose();
        Device.Dispose();
    }
}
