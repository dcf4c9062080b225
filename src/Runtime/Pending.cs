// Plain host loops in place of kernels that are about to land; CPU only. Each goes away with its kernel.
#pragma warning disable IDE0060
using DistTrain.Kernels;

namespace DistTrain.Runtime;

internal readonly record struct RandomKey(ulong Seed, ulong Step, uint Path, long FirstSample = 0);
internal static class RandomFill {
 public static void Uniform(ExecutionStream stream, Tensor output, float low, float high, RandomKey key) { var r = new Random((int)(key.Path ^ (uint)key.Seed)); foreach (ref float f in output.AsSpan<float>()) f = low + (high-low)*r.NextSingle(); }
 public static void Normal(ExecutionStream stream, Tensor output, float mean, float sd, RandomKey key) { Uniform(stream, output, -sd, sd, key); }
}
internal readonly record struct SgdOptions(float LearningRate, float Momentum = 0, float WeightDecay = 0, bool Nesterov = false, bool IsFirstStep = false);
internal static class SgdUpdate { public static void Apply(ExecutionStream stream, Tensor parameter, Tensor? momentumBuffer, Tensor gradient, in SgdOptions o) {
 var p = parameter.AsSpan<float>(); var g = gradient.AsSpan<float>(); for (int i = 0; i < p.Length; i++) { float d = g[i] + o.WeightDecay*p[i]; if (momentumBuffer != null) { var b = momentumBuffer.AsSpan<float>(); b[i] = o.IsFirstStep ? d : o.Momentum*b[i] + d; d = b[i]; } p[i] -= o.LearningRate*d; } } }
internal readonly record struct AdamOptions(float LearningRate, float Beta1, float Beta2, float Epsilon, float WeightDecay, bool DecoupledWeightDecay, int Step);
internal static class AdamUpdate { public static void Apply(ExecutionStream stream, Tensor parameter, Tensor m, Tensor v, Tensor gradient, in AdamOptions o) { } }
internal static class GlobalNorm { public static void Clip(ExecutionStream stream, Tensor norm, IReadOnlyList<Tensor> gradients, float maxNorm) {} }
