namespace DistTrain.Cli;

/// <summary>
/// The log files of ranks: <c>FOLDER/RUN/GENERATION/rank-R.stdout.log</c> and <c>.stderr.log</c>, their bytes as they were written. A restart writes new ones; what an earlier job of
/// the same name has left is kept as <c>.log.1</c>, <c>.log.2</c> and so on.
/// </summary>
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
            if (File.Exists(path)) KeepEarlier(path);
            return new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 1 << 16);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"--log-dir {options.LogFolder}: {path} can't be written: {failure.Message}", failure);
        }
    }

    private static void KeepEarlier(string path)
    {
        int number = 1;
        while (File.Exists($"{path}.{number}")) number++;
        File.Move(path, $"{path}.{number}");
    }
}
