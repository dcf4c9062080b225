using System.IO.Compression;
using System.Text.Json;
using Xunit;

namespace DistTrain.TestKit;

/// <summary>A complete event of a trace.</summary>
public sealed record TraceEvent(string Name, string Category, int Process, int Thread, decimal Start, decimal Duration, JsonElement Arguments)
{
    /// <summary>Microseconds.</summary>
    public decimal End => Start + Duration;
}

/// <summary>A trace as a viewer reads it: every event has the fields that the Trace Event Format asks for.</summary>
public sealed class TraceReading
{
    private static readonly string[] s_metadata = ["process_name", "process_labels", "process_sort_index", "thread_name", "thread_sort_index"];

    /// <summary>Reads a file, compressed or not.</summary>
    public TraceReading(string path)
    {
        using Stream file = path.EndsWith(".gz", StringComparison.Ordinal) ? new GZipStream(File.OpenRead(path), CompressionMode.Decompress) : File.OpenRead(path);
        using JsonDocument document = JsonDocument.Parse(file);
        Assert.Equal("ms", document.RootElement.GetProperty("displayTimeUnit").GetString());
        foreach (JsonElement element in document.RootElement.GetProperty("traceEvents").EnumerateArray()) Add(element.Clone());
    }

    /// <summary>Its spans.</summary>
    public IList<TraceEvent> Events { get; } = [];

    /// <summary>Names of processes.</summary>
    public IDictionary<int, string> Processes { get; } = new Dictionary<int, string>();

    /// <summary>Labels of processes.</summary>
    public IDictionary<int, string> Labels { get; } = new Dictionary<int, string>();

    /// <summary>Names of threads.</summary>
    public IDictionary<(int Process, int Thread), string> Threads { get; } = new Dictionary<(int, int), string>();

    /// <summary>Spans of a name.</summary>
    public IEnumerable<TraceEvent> Of(string name, int? process = null) => Events.Where(each => each.Name == name && (process is null || each.Process == process));

    /// <summary>Spans of a row contain each other or come one behind the other.</summary>
    public void AssertNested()
    {
        foreach (IGrouping<(int, int), TraceEvent> row in Events.GroupBy(each => (each.Process, each.Thread)))
        {
            Stack<TraceEvent> open = new();
            foreach (TraceEvent span in row.OrderBy(each => each.Start).ThenByDescending(each => each.End))
            {
                while (open.Count > 0 && open.Peek().End <= span.Start) open.Pop();
                if (open.Count > 0) Assert.True(span.End <= open.Peek().End, $"row {row.Key}: {span} begins within {open.Peek()} and ends behind it");
                open.Push(span);
            }
        }
    }

    private void Add(JsonElement element)
    {
        int process = element.GetProperty("pid").GetInt32(), thread = element.GetProperty("tid").GetInt32();
        string name = element.GetProperty("name").GetString()!;
        JsonElement arguments = element.GetProperty("args");
        if (element.GetProperty("ph").GetString() == "X")
        {
            Events.Add(new TraceEvent(name, element.GetProperty("cat").GetString()!, process, thread, element.GetProperty("ts").GetDecimal(), element.GetProperty("dur").GetDecimal(), arguments));
            Assert.True(Events[^1].Duration >= 0);
            return;
        }
        Assert.Equal("M", element.GetProperty("ph").GetString());
        Assert.Contains(name, s_metadata);
        if (name == "process_name") Processes.Add(process, arguments.GetProperty("name").GetString()!);
        if (name == "process_labels") Labels.Add(process, arguments.GetProperty("labels").GetString()!);
        if (name == "thread_name") Threads.Add((process, thread), arguments.GetProperty("name").GetString()!);
        if (name.EndsWith("sort_index", StringComparison.Ordinal)) Assert.True(arguments.GetProperty("sort_index").GetInt32() >= 0);
    }
}
