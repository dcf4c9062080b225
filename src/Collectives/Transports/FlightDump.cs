using System.Globalization;

namespace DistTrain.Collectives;

/// <summary>Writes the flight records of all ranks to a file when a communicator fails: what each had called last, and how far it was.</summary>
internal static class FlightDump
{
    /// <summary>Writes <c>flight-rank-R.txt</c>; a later failure of the same rank replaces it. Never throws: the failure itself is the news.</summary>
    /// <returns>The file; null if it could not be written.</returns>
    internal static string? TryWrite(string folder, ITransport transport, CollectiveException failure)
    {
        try
        {
            Directory.CreateDirectory(folder);
            string path = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"flight-rank-{transport.Rank}.txt"));
            using StreamWriter file = new(path);
            file.WriteLine($"{failure.GetType().Name} on rank {transport.Rank} of {transport.WorldSize} over {transport.Name}, process {Environment.ProcessId}: {failure.Message}");
            for (int rank = 0; rank < transport.WorldSize; rank++)
            {
                IReadOnlyList<FlightRecord> records = transport.FlightRecords(rank);
                file.WriteLine($"rank {rank}: {records.Count} records, oldest first");
                foreach (FlightRecord record in records) file.WriteLine($"  {record}");
            }
            return path;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException or CollectiveException or NotSupportedException)
        {
            return null;
        }
    }
}
