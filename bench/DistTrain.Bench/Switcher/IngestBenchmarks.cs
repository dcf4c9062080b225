using BenchmarkDotNet.Attributes;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>The <c>ingest</c> groups under BenchmarkDotNet: each case with its own number of threads, and the body that the rows measure too.</summary>
public abstract class IngestBenchmarks(string group) : WorkloadBenchmarks
{
    /// <summary>What is done.</summary>
    [ParamsSource(nameof(Cases))]
    public override BenchCase? Case { get; set; }

    /// <summary>The group's cases.</summary>
    public IEnumerable<BenchCase> Cases => IngestCases.Of(group);

    /// <summary>The body.</summary>
    [Benchmark]
    public void Run() => Workload.Run();

    /// <inheritdoc/>
    protected override ComputeDevice OpenDevice() => DeviceCatalog.Open("cpu");
}

/// <summary><c>ingest crc32c</c> under BenchmarkDotNet.</summary>
public class Crc32CBenchmarks() : IngestBenchmarks("crc32c");

/// <summary><c>ingest tfrecord</c> under BenchmarkDotNet.</summary>
public class TFRecordBenchmarks() : IngestBenchmarks("tfrecord");

/// <summary><c>ingest overlap</c> under BenchmarkDotNet: the time of a whole run.</summary>
public class OverlapBenchmarks() : IngestBenchmarks("overlap");

/// <summary><c>ingest remote</c> under BenchmarkDotNet.</summary>
public class RemoteBenchmarks() : IngestBenchmarks("remote");

/// <summary><c>ingest element</c> under BenchmarkDotNet: the time of a whole pass, the source's own part included.</summary>
public class ElementBenchmarks() : IngestBenchmarks("element");
