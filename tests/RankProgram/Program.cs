using System.Globalization;
using System.Text.Json;
using DistTrain.Collectives;
using DistTrain.Kernels;

// One rank of the tests' jobs. usage: RankProgram SCENARIO   with RANK, WORLD_SIZE, ADDRESS, SECRET, TIMEOUT_MS in the environment
//   stream      all-reduces of many sizes for ever, results checked; says "ready" after the first
//   wrong-size  as stream, but at the tenth call rank 1 gives one element more
//   late        rank 1 never comes to the third call
//   meet        exchanges and counts over the rendezvous store named by STORE for ever; says "ready" after the first, and in the end who is missing
//   once        one all-reduce, then leaves
//   detect      says which rank the engine's variables make it
//   connect     the same, joins the others and checks their all-reduces and broadcasts; DISTTRAIN_JOB_SECRET instead of the variables above;
//               connect auto|shm|mpi [fail|kill]: rank 1 ends with 9 after that, or is killed
//   algorithms  every algorithm and the fixed order over MPI
//   differ      over MPI, with the calls of its own verbs compared: rank 1 calls something else
// A failure of the communicator is written as one line of JSON; the exit code is 75.
if (args[0] == "detect") return Joining.Detect();
if (args[0] == "algorithms") return Algorithms.Run();
if (args[0] == "differ") return Differing.Run();
if (args[0] == "connect") return Joining.Run(args.Length > 1 ? args[1] : "auto", args.Length > 2 ? args[2] : "");
int rank = Number("RANK"), worldSize = Number("WORLD_SIZE");
if (args[0] == "meet") return Meeting.Run(rank, worldSize, Text("STORE"), JobSecret.FromHex(Text("SECRET"), "SECRET"), TimeSpan.FromMilliseconds(Number("TIMEOUT_MS")));
CommunicatorOptions options = new() { Timeout = TimeSpan.FromMilliseconds(Number("TIMEOUT_MS")) };
using CpuDevice device = new("cpu", InstructionSets.Best, threadCount: 1);
try
{
    using ICommunicator communicator = Communicator.SharedMemory(rank, worldSize, Text("ADDRESS"), Convert.FromHexString(Text("SECRET")), options);
    try
    {
        return Run(communicator, args[0]);
    }
    catch (CollectiveException failure)
    {
        // Dead is dead: the next call must throw the same, at once.
        string again = "none";
        try
        {
            communicator.Barrier(device.DefaultStream);
        }
        catch (CollectiveException second)
        {
            again = second.GetType().Name;
        }
        return Report(failure, again);
    }
}
catch (CollectiveException failure)
{
    return Report(failure, "");
}

int Run(ICommunicator communicator, string scenario)
{
    using RegisteredMemory memory = communicator.Allocate(device, 1 << 20);
    int[] sizes = [1, 1000, 65536, 200_000];
    for (int call = 0; ; call++)
    {
        int size = sizes[call % sizes.Length] + (scenario == "wrong-size" && call == 10 && rank == 1 ? 1 : 0);
        if (scenario == "late" && call == 2 && rank == 1) Thread.Sleep(Timeout.Infinite);
        // Registered and ordinary memory in turn.
        using Tensor tensor = call % 8 < 4 ? memory.Tensor(new Shape(size)) : Tensor.Allocate(device.DefaultStream, new Shape(size));
        tensor.AsSpan<float>().Fill(rank + call % 100);
        communicator.AllReduce(device.DefaultStream, tensor);
        float expected = (worldSize * (worldSize - 1) / 2) + (worldSize * (call % 100));
        if (tensor.AsSpan<float>().ContainsAnyExcept(expected)) throw new InvalidOperationException($"call {call}: found {tensor.AsSpan<float>()[0]}, expected {expected}");
        if (call == 0) Console.WriteLine("ready");
        if (scenario == "once") return 0;
    }
}

static int Report(CollectiveException failure, string again)
{
    CommunicatorLostException? lost = failure as CommunicatorLostException;
    Console.WriteLine(JsonSerializer.Serialize(new
    {
        Type = failure.GetType().Name, Lost = lost?.Rank, Pid = lost?.ProcessId, Reason = lost?.Reason.ToString(), Sequence = lost?.LastSequence, Verb = lost?.LastVerb.ToString(), Again = again, failure.Message,
    }));
    return 75;
}

static string Text(string name) => Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($"{name} is not set");

static int Number(string name) => int.Parse(Text(name), CultureInfo.InvariantCulture);
