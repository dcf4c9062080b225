using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary><c>bench allreduce</c>: measures collectives between ranks, fits costs to them, or predicts them for numbers of ranks that nobody has.</summary>
public static class AllReduceCommand
{
    /// <summary>The word after <c>bench</c>.</summary>
    public const string Name = "allreduce";

    /// <summary>What <c>--list</c> says of it.</summary>
    public const string Description = "collectives between ranks on shared memory, in one process or MPI (`bench allreduce --help`)";

    /// <summary>Runs with the arguments after the name; gives the exit code: 0, 1 (it could not be measured), 2 (usage).</summary>
    public static int Run(IReadOnlyList<string> arguments)
    {
        try
        {
            AllReduceOptions options = AllReduceOptions.Parse(arguments);
            if (options.IsHelp) Console.WriteLine(AllReduceOptions.Usage);
            else if (options.SimulatedRanks is not null) SimulationReport.Write(options, options.JsonFile == "-" ? Console.Error : Console.Out);
            else return new AllReduceRun(options, arguments).Run();
            return 0;
        }
        catch (UsageException mistake)
        {
            Console.Error.WriteLine($"bench: {mistake.Message}");
            return 2;
        }
        catch (Exception failure) when (failure is CollectiveException or ClusterEnvironmentException or DllNotFoundException or NotSupportedException or InvalidOperationException or FormatException or OutOfDeviceMemoryException
            or IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"bench: {failure.Message}");
            return 1;
        }
    }
}
