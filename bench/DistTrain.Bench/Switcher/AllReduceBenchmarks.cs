using BenchmarkDotNet.Attributes;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>
/// All-reduce between replicas of one process under BenchmarkDotNet. The measured thread is rank 0; the others call in step with it until it ends. Data are written once, so this is the time of calls on
/// warm buffers: <c>bench allreduce --transport inprocess</c> has every rank write its buffer before each call.
/// </summary>
public class AllReduceBenchmarks
{
    private readonly List<Thread> _others = [];
    private ICommunicator[] _ranks = [];
    private ComputeDevice? _device;
    private Tensor? _data;
    private CollectiveException? _failure;

    /// <summary>Bytes of a rank.</summary>
    [Params(1 << 10, 1 << 18, 1 << 22)]
    public int Bytes { get; set; }

    /// <summary>Replicas.</summary>
    [Params(2, 4)]
    public int Ranks { get; set; }

    /// <summary>The algorithm, as <c>bench allreduce --algorithm</c> names it.</summary>
    [Params(AlgorithmNames.Own, "ring")]
    public string Algorithm { get; set; } = AlgorithmNames.Own;

    /// <summary>Starts the other ranks.</summary>
    [GlobalSetup]
    public void Open()
    {
        _ranks = Communicator.InProcess(Ranks, new CommunicatorOptions { Algorithm = AlgorithmNames.Parse(Algorithm) });
        _device = DeviceCatalog.Open("cpu");
        _data = Tensor.Zeros(_device.DefaultStream, new Shape(Bytes / sizeof(float)));
        foreach (ICommunicator rank in _ranks[1..]) _others.Add(new Thread(() => CallUntilAborted(rank)) { IsBackground = true });
        foreach (Thread other in _others) other.Start();
    }

    /// <summary>One sum over all ranks, in place.</summary>
    [Benchmark]
    public void Run() => _ranks[0].AllReduce(_device!.DefaultStream, _data!);

    /// <summary>Ends the other ranks.</summary>
    [GlobalCleanup]
    public void Close()
    {
        _ranks[0].Abort("measured");
        foreach (Thread other in _others) other.Join();
        foreach (ICommunicator rank in _ranks) rank.Dispose();
        _data?.Dispose();
        _device?.Dispose();
        if (_failure is not null) throw _failure;
    }

    private void CallUntilAborted(ICommunicator rank)
    {
        using CpuDevice device = new("cpu", InstructionSets.Chosen(), 1);
        using Tensor data = Tensor.Zeros(device.DefaultStream, new Shape(Bytes / sizeof(float)));
        try
        {
            while (true) rank.AllReduce(device.DefaultStream, data);
        }
        catch (CommunicatorAbortedException)
        {
            // The end of the measurement.
        }
        catch (CollectiveException failure)
        {
            _failure = failure;
        }
    }
}
