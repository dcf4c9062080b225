using DistTrain.Collectives;
using DistTrain.Kernels;

/// <summary>A rank that learns from the engine that started it which one it is, joins the others, and checks that they compute together.</summary>
internal static class Joining
{
    /// <summary>Only says what the engine's variables tell.</summary>
    internal static int Detect()
    {
        Console.WriteLine(Describe(ClusterEnvironment.Detect()));
        return 0;
    }

    /// <param name="transport">shm or mpi; auto: whatever joins them.</param>
    /// <param name="behavior">"": leaves when all is checked; "fail": rank 1 ends with 9 then, the others stay in their next call; "kill": rank 1 kills itself.</param>
    internal static int Run(string transport, string behavior)
    {
        ClusterEnvironment environment = ClusterEnvironment.Detect();
        using CpuDevice device = new("cpu", InstructionSets.Best, threadCount: 1);
        CommunicatorOptions options = new() { Timeout = TimeSpan.FromSeconds(30) };
        try
        {
            using ICommunicator communicator = Communicator.Connect(environment, options, transport == "auto" ? null : transport);
            Check(communicator, device);
            if (behavior.Length == 0) Console.WriteLine($"{Describe(environment)}, transport {communicator.Transport}, ok");
            if (behavior.Length > 0 && environment.Rank == 1)
            {
                if (behavior == "fail") Environment.Exit(9);
                using var self = System.Diagnostics.Process.GetCurrentProcess();
                self.Kill();
            }
            if (behavior.Length > 0) Check(communicator, device);
            return 0;
        }
        catch (NotSupportedException failure)
        {
            Console.WriteLine($"rank {environment.Rank}: {failure.Message}");
            return 1;
        }
        catch (CollectiveException failure)
        {
            Console.WriteLine($"rank {environment.Rank}: {failure.GetType().Name}: {failure.Message}");
            return 75;
        }
    }

    private static void Check(ICommunicator communicator, CpuDevice device)
    {
        int rank = communicator.Rank, worldSize = communicator.WorldSize;
        foreach (int size in (int[])[1, 1000, 100_000])
        {
            using Tensor tensor = Tensor.Allocate(device.DefaultStream, new Shape(size));
            Span<float> values = tensor.AsSpan<float>();
            for (int i = 0; i < size; i++) values[i] = rank + (i % 7);
            communicator.AllReduce(device.DefaultStream, tensor);
            for (int i = 0; i < size; i++) Expect((worldSize * (worldSize - 1) / 2) + (worldSize * (i % 7)), values[i], "all-reduce", i);
            for (int root = 0; root < worldSize; root++)
            {
                values.Fill(rank == root ? 100 + root : -1);
                communicator.Broadcast(device.DefaultStream, tensor, root);
                for (int i = 0; i < size; i++) Expect(100 + root, values[i], $"broadcast from {root}", i);
            }
        }
        communicator.Barrier(device.DefaultStream);
    }

    private static void Expect(float expected, float found, string what, int index)
    {
        if (expected != found) throw new InvalidOperationException($"{what}, element {index}: found {found}, expected {expected}");
    }

    private static string Describe(ClusterEnvironment environment) =>
        $"rank {environment.Rank} of {environment.WorldSize}: engine {environment.Engine}, local {environment.LocalRank} of {environment.LocalWorldSize?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "?"}, "
        + $"restart {environment.RestartCount}";
}
