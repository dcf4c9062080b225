namespace DistTrain.Bench;

/// <summary><c>matmul</c> under BenchmarkDotNet.</summary>
public class MatMulBenchmarks() : CaseBenchmarks("matmul");

/// <summary><c>limits</c> under BenchmarkDotNet.</summary>
public class LimitBenchmarks() : CaseBenchmarks("limits");

/// <summary><c>convolution</c> under BenchmarkDotNet.</summary>
public class ConvolutionBenchmarks() : CaseBenchmarks("convolution");

/// <summary><c>softmax</c> under BenchmarkDotNet.</summary>
public class SoftmaxBenchmarks() : CaseBenchmarks("softmax");

/// <summary><c>distillation-loss</c> under BenchmarkDotNet.</summary>
public class DistillationLossBenchmarks() : CaseBenchmarks("distillation-loss");

/// <summary><c>attention</c> under BenchmarkDotNet.</summary>
public class AttentionBenchmarks() : CaseBenchmarks("attention");

/// <summary><c>train-step</c> under BenchmarkDotNet.</summary>
public class TrainStepBenchmarks() : CaseBenchmarks("train-step");
