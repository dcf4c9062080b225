using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace DistTrain.Runtime;

/// <summary>
/// A replica's part of a trace in the Trace Event Format: objects with the names of its process and rows (<c>ph</c> M), and a complete event (X) for each span, with microseconds in <c>ts</c> and
/// <c>dur</c>. The process is the replica, the thread its <see cref="TraceLane"/>.
/// </summary>
internal static class TraceEvents
{
    private const int FlushByteCount = 1 << 16;

    /// <summary>As the elements of a JSON array, without its brackets.</summary>
    internal static ReadOnlyMemory<byte> Write(Replica replica, ClockOffset clock)
    {
        TraceRecorder recorder = replica.Trace!;
        MemoryStream bytes = new();
        using (Utf8JsonWriter json = new(bytes, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartArray();
            Name(json, replica.Index, 0, "process_name", "name", $"rank {replica.Index}: {Environment.MachineName}, process {Environment.ProcessId}, {replica.Device.Name}");
            Name(json, replica.Index, 0, "process_labels", "labels", Labels(recorder, clock));
            Place(json, replica.Index, 0, "process_sort_index", replica.Index);
            foreach (TraceLane lane in Enum.GetValues<TraceLane>())
            {
                Name(json, replica.Index, (int)lane, "thread_name", "name", NameOf(lane));
                Place(json, replica.Index, (int)lane, "thread_sort_index", (int)lane);
            }
            // What contains comes before what is contained.
            foreach (TraceSpan span in recorder.Take().OrderBy(span => span.Activity.Lane).ThenBy(span => span.Began).ThenByDescending(span => span.Ended))
            {
                Span(json, replica.Index, span, clock);
                if (json.BytesPending > FlushByteCount) json.Flush();
            }
            json.WriteEndArray();
        }
        return bytes.GetBuffer().AsMemory(1, (int)bytes.Length - 2);
    }

    internal static string NameOf(TraceLane lane) => lane.ToString().ToLowerInvariant();

    private static string Labels(TraceRecorder recorder, ClockOffset clock)
    {
        string spans = recorder.DroppedCount is > 0 and long dropped ? string.Create(CultureInfo.InvariantCulture, $"the oldest {dropped} spans were dropped") : "all spans";
        string time = clock.Uncertainty == 0 ? "rank 0's clock" : string.Create(CultureInfo.InvariantCulture, $"clock aligned by {clock.Offset / 1000.0:F1} us, to {clock.Uncertainty / 1000.0:F1} us");
        return $"{spans}, {time}";
    }

    private static void Name(Utf8JsonWriter json, int process, int thread, string kind, string field, string value)
    {
        Begin(json, process, thread, kind, "M");
        json.WriteString(field, value);
        End(json);
    }

    private static void Place(Utf8JsonWriter json, int process, int thread, string kind, int index)
    {
        Begin(json, process, thread, kind, "M");
        json.WriteNumber("sort_index", index);
        End(json);
    }

    private static void Span(Utf8JsonWriter json, int process, in TraceSpan span, ClockOffset clock)
    {
        long began = TraceClock.ToNanoseconds(span.Began) + clock.Offset, ended = TraceClock.ToNanoseconds(span.Ended) + clock.Offset;
        json.WriteStartObject();
        json.WriteString("name", span.Activity.Name);
        json.WriteString("cat", NameOf(span.Activity.Lane));
        json.WriteString("ph", "X");
        // To the nanosecond: decimals do not round.
        json.WriteNumber("ts", began / 1000m);
        json.WriteNumber("dur", Math.Max(0, ended - began) / 1000m);
        Place(json, process, (int)span.Activity.Lane);
        json.WriteNumber("step", span.Step);
        if (span.Bucket >= 0) json.WriteNumber("bucket", span.Bucket);
        if (span.Bytes >= 0) json.WriteNumber("bytes", span.Bytes);
        End(json);
    }

    private static void Begin(Utf8JsonWriter json, int process, int thread, string name, string phase)
    {
        json.WriteStartObject();
        json.WriteString("name", name);
        json.WriteString("ph", phase);
        Place(json, process, thread);
    }

    private static void Place(Utf8JsonWriter json, int process, int thread)
    {
        json.WriteNumber("pid", process);
        json.WriteNumber("tid", thread);
        json.WriteStartObject("args");
    }

    private static void End(Utf8JsonWriter json)
    {
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
