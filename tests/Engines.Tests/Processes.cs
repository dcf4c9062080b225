namespace DistTrain.Engines.Tests;

/// <summary>Processes of this host, to see that none is left.</summary>
internal static class Processes
{
    /// <summary>Those (but for zombies) with a text among their arguments, as "pid arguments".</summary>
    internal static string[] With(string text) => [.. Each("cmdline", text)];

    /// <summary>Those (but for zombies) with a text in their environment, as "pid arguments".</summary>
    internal static string[] WithEnvironment(string text) => [.. Each("environ", text)];

    /// <summary>Waits up to ten seconds until none is left.</summary>
    internal static void AssertNone(Func<string[]> find)
    {
        for (int turn = 0; turn < 100 && find().Length > 0; turn++) Thread.Sleep(100);
        Assert.Empty(find());
    }

    private static IEnumerable<string> Each(string file, string text)
    {
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), out int id) || id == Environment.ProcessId) continue;
            string? line = null;
            try
            {
                if (File.ReadAllText(Path.Combine(folder, file)).Contains(text, StringComparison.Ordinal)) line = $"{id} {File.ReadAllText(Path.Combine(folder, "cmdline")).Replace('\0', ' ')}";
            }
            catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
            {
                // It ended while it was looked at, or is another user's.
            }
            if (line is not null) yield return line;
        }
    }
}
