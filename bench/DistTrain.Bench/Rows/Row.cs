using System.Text.Json;
using System.Text.Json.Serialization;

namespace DistTrain.Bench;

/// <summary>One measured number: a case and an implementation. Fields that don't apply are null and still written.</summary>
public sealed record Row(
    [property: JsonPropertyName("bench")] string Bench,
    [property: JsonPropertyName("case")] string Case,
    [property: JsonPropertyName("threads")] int? Threads,
    [property: JsonPropertyName("ranks")] int? Ranks,
    [property: JsonPropertyName("transport")] string? Transport,
    [property: JsonPropertyName("algorithm")] string? Algorithm,
    [property: JsonPropertyName("impl")] string Implementation,
    [property: JsonPropertyName("value")] double Value,
    [property: JsonPropertyName("unit")] string Unit,
    [property: JsonPropertyName("better")] string Better)
{
    private static readonly JsonSerializerOptions s_options = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>A row of this machine's own process: no ranks, transport or algorithm.</summary>
    public static Row Of(BenchCase benchCase, int? threads, string implementation, double value)
    {
        ArgumentNullException.ThrowIfNull(benchCase);
        return new(benchCase.Bench, benchCase.Name, threads, null, null, null, implementation, Rounded(value), benchCase.Measure.Unit(), benchCase.Measure.Better());
    }

    /// <summary>An array with one row a line, so that results of two runs can be compared line by line.</summary>
    public static string ToJson(IEnumerable<Row> rows) =>
        "[" + string.Join(",", rows.Select(row => Environment.NewLine + "  " + JsonSerializer.Serialize(row, s_options))) + Environment.NewLine + "]" + Environment.NewLine;

    // Five digits: more than a timing can mean.
    internal static double Rounded(double value) =>
        value == 0 || !double.IsFinite(value) ? value : double.Parse(value.ToString("G5", System.Globalization.CultureInfo.InvariantCulture), System.Globalization.CultureInfo.InvariantCulture);
}
