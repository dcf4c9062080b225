using System.Globalization;

namespace DistTrain.Cli;

/// <summary>A process as /proc shows it.</summary>
internal sealed record ProcessEntry(int Id, int Parent, int Group, int Session, bool IsZombie);

/// <summary>All processes of this machine at a moment.</summary>
internal static class ProcessTable
{
    public static List<ProcessEntry> Read()
    {
        var entries = new List<ProcessEntry>();
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out int id)) continue;
            try
            {
                // "123 (any (name)) S parent group session ...": names may hold anything, so from the last parenthesis.
                string text = File.ReadAllText($"{folder}/stat");
                int nameEnd = text.LastIndexOf(')');
                if (nameEnd < 0) continue;
                string[] fields = text[(nameEnd + 2)..].Split(' ', 5);
                entries.Add(new ProcessEntry(id, Number(fields[1]), Number(fields[2]), Number(fields[3]), fields[0] is "Z" or "X"));
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                // It ended meanwhile.
            }
        }
        return entries;
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
