namespace DistTrain.Cli;

/// <summary>The log files of ranks: <c>FOLDER/RUN/GENERATION/rank-R.stdout.log</c> and <c>.stderr.log</c>, their bytes as they were written. A restart writes new ones.</summary>
internal static class RankLog
{
    public static string PathOf(LaunchOptions options, int generation, string name, string kind) => Path.Combine(options.LogFolder!, options.RunId, $"{generation}", $"{name}.{kind}.log");

    public static FileStream? Create(LaunchOptions options, int generation, string name, string kind)
    {
        if (options.LogFolder is null) return null;
        string path = PathOf(options, generation, name, kind);
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            return new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 1 << 16);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"--log-dir {options.LogFolder}: {path} can't be written: {failure.Message}", failure);
        }
    }
}
