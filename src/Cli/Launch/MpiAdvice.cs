using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Cli;

/// <summary>Several nodes are connected by NCCL, or, on CPUs, by MPI, whose own launchers start the program then.</summary>
internal static class MpiAdvice
{
    private static readonly System.Buffers.SearchValues<char> s_plain =
        System.Buffers.SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:,@%");

    /// <returns>Null if NCCL can be used here; else why not, and the lines to use instead.</returns>
    public static string? IfNcclIsMissing(LaunchOptions options)
    {
        if (!ShimLibrary.IsTransportAvailable("nccl", out string problem)) return Text(options, problem.ReplaceLineEndings("; "));
        bool hasGpu = DeviceCatalog.List(DeviceKind.Cuda).Any(device => device.Unusable is null);
        return hasGpu ? null : Text(options, "libnccl.so.2 loads, but there is no usable CUDA device");
    }

    public static string Text(LaunchOptions options, string problem)
    {
        string command = string.Join(' ', options.Command.Select(Quote));
        string nodes = options.MinNodes == options.MaxNodes ? $"{options.MaxNodes}" : $"{options.MinNodes}:{options.MaxNodes}";
        return $"""
            --nnodes {nodes} needs NCCL, which can't be used here ({problem}). On CPUs, MPI connects nodes, and its launchers start the program:
                mpirun -n {options.MaxNodes * options.ProcessesPerNode} --map-by ppr:{options.ProcessesPerNode}:node {command}
                srun --nodes={options.MaxNodes} --ntasks-per-node={options.ProcessesPerNode} --mpi=pmix {command}
            """;
    }

    private static string Quote(string word) =>
        word.Length > 0 && !word.AsSpan().ContainsAnyExcept(s_plain) ? word : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
