using System.Text.Json;

namespace DistTrain.Cli.Tests;

/// <summary>Which samples made the final weights: what <c>--sample-log</c> wrote last for each step and replica, over all restarts of a run.</summary>
internal static class SampleHistory
{
    /// <summary>Asserts that in the history no sample is missing or doubled.</summary>
    /// <returns>A line for each step and replica, in order.</returns>
    internal static string[] Of(params ReadOnlySpan<string> files)
    {
        SortedDictionary<(long Step, int Replica), (long First, int Count, string Line)> last = [];
        foreach (string file in files)
        {
            foreach (string line in File.ReadLines(file))
            {
                JsonElement row = JsonDocument.Parse(line).RootElement;
                last[(row.GetProperty("step").GetInt64(), row.GetProperty("replica").GetInt32())] = (row.GetProperty("first").GetInt64(), row.GetProperty("count").GetInt32(), line);
            }
        }
        long next = 0;
        foreach ((long first, int count, string line) in last.Values)
        {
            Assert.True(first == next, $"the samples before {line} end with {next - 1}");
            next = first + count;
        }
        return [.. last.Values.Select(part => part.Line)];
    }
}
