namespace DistTrain.Bench;

/// <summary><c>matmul</c> under BenchmarkDotNet.</summary>
public class MatMulBenchmarks() : CaseBenchmarks("matmul");

/// <summary><c>limits</c> under BenchmarkDotNet.</summary>
public class LimitBenchmarks() : CaseBenchmarks("limits");
