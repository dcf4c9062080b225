using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace DistTrain.Bench;

/// <summary>A column of GFLOP/s, GB/s or samples/s: a case's work divided by its mean time. Shown only where a case has that measure.</summary>
public sealed class RateColumn(Measure measure) : IColumn
{
    /// <inheritdoc/>
    public string Id => nameof(RateColumn) + measure;

    /// <inheritdoc/>
    public string ColumnName => measure.Unit();

    /// <inheritdoc/>
    public bool AlwaysShow => false;

    /// <inheritdoc/>
    public ColumnCategory Category => ColumnCategory.Statistics;

    /// <inheritdoc/>
    public int PriorityInCategory => (int)measure;

    /// <inheritdoc/>
    public bool IsNumeric => true;

    /// <inheritdoc/>
    public UnitType UnitType => UnitType.Dimensionless;

    /// <inheritdoc/>
    public string Legend => measure == Measure.SamplesPerSecond ? "Samples a second" : $"{measure.Unit()}: 10^9 {(measure == Measure.GigaflopsPerSecond ? "operations" : "bytes read and written")} a second, by the mean time";

    /// <inheritdoc/>
    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    /// <inheritdoc/>
    public bool IsAvailable(Summary summary) => summary.BenchmarksCases.Any(benchmark => CaseOf(benchmark)?.Measure == measure);

    /// <inheritdoc/>
    public string GetValue(Summary summary, BenchmarkCase benchmarkCase) => GetValue(summary, benchmarkCase, SummaryStyle.Default);

    /// <inheritdoc/>
    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style)
    {
        BenchCase? benchCase = CaseOf(benchmarkCase);
        double? nanoseconds = summary[benchmarkCase]?.ResultStatistics?.Mean;
        return benchCase?.Measure == measure && nanoseconds is { } mean && !double.IsNaN(benchCase.Work)
            ? measure.Value(benchCase.Work, mean * 1e-9).ToString("N1", CultureInfo.InvariantCulture)
            : "-";
    }

    private static BenchCase? CaseOf(BenchmarkCase benchmarkCase) =>
        benchmarkCase.Parameters.Items.Select(parameter => parameter.Value).OfType<BenchCase>().FirstOrDefault();
}
