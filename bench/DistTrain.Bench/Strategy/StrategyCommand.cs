using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary><c>bench strategy</c>: how fast training is under each strategy, and what communication, checkpoints, virtual shards and restarts cost it.</summary>
public static class StrategyCommand
{
    /// <summary>The word after <c>bench</c>.</summary>
    public const string Name = "strategy";

    /// <summary>What <c>--list</c> says of it.</summary>
    public const string Description = "training under every strategy in turn with independent runs: efficiency, overlap, stalls, checkpoints, restarts; a simulation for other networks";

    /// <summary>Runs with the arguments after the name; gives the exit code: 0, 1 (something could not be measured), 2 (usage).</summary>
    public static int Run(IReadOnlyList<string> arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        try
        {
            if (arguments.Count > 0 && arguments[0] == WorkerRank.Option) return WorkerRank.Run([.. arguments.Skip(1)]);
            if (arguments.Contains("--help"))
            {
                Console.WriteLine(StrategyOptions.Usage);
                return 0;
            }
            StrategyOptions options = StrategyOptions.Parse(arguments);
            new StrategyReport(options, options.JsonFile == "-" ? Console.Error : Console.Out).Write();
            return 0;
        }
        catch (UsageException mistake)
        {
            Console.Error.WriteLine($"bench: {mistake.Message}");
            return 2;
        }
        catch (Exception failure) when (failure is DeviceException or OutOfDeviceMemoryException or CollectiveException or DllNotFoundException or IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"bench: {failure.Message}");
            return 1;
        }
    }
}
