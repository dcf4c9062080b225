using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>Losses over elements, such as tokens, of which replicas and passes have different numbers: every element weighs the same, wherever it lies.</summary>
public sealed class ElementWeightTests
{
    private const int StepCount = 3, Features = 6, Classes = 3;

    [Theory]
    [InlineData("mirrored", 1)]
    [InlineData("mirrored", 2)]
    [InlineData("central-storage", 3)]
    [InlineData("sharded", 4)]
    public void Uneven_numbers_of_elements_over_replicas_and_passes_give_the_step_of_all_of_them_at_once(string name, int seed)
    {
        Random random = new(seed);
        // Replicas by passes; a mean of their means would give an element of the smallest up to twenty times the weight of one of the largest.
        int[][] counts = [[20, random.Next(1, 20)], [1, random.Next(1, 6)], [random.Next(1, 3), 1]];
        Tokens tokens = new(random, counts.Sum(passes => passes.Sum()));

        float[] together = Train(new OneDeviceStrategy(Device(), ownsDevice: true), [[tokens.Count]], tokens);
        float[] apart = Train(Open(name, counts.Length), counts, tokens);

        Assert.InRange(Distance(together, apart), 0, 1e-6);
        // What is compared depends on the weights: equal ones for all passes lead elsewhere.
        Assert.InRange(Distance(together, Train(Open(name, counts.Length), counts, tokens, isMeanOfMeans: true)), 1e-3, 10);
    }

    private static float[] Train(Strategy strategy, int[][] counts, Tokens tokens, bool isMeanOfMeans = false)
    {
        using (strategy)
        {
            return strategy.Run(replica =>
            {
                using Mlp model = new(Features, 8, Classes);
                model.Initialize(replica.Stream, 1);
                using ReplicaVariables variables = strategy.CreateVariables(replica, model, parameters => new Sgd(parameters, momentum: 0.9f));
                int[] own = counts[replica.Index];
                for (int step = 0; step < StepCount; step++)
                {
                    double[] all = [own.Sum()];
                    variables.Sum(replica.Stream, all);
                    variables.Gradients.Clear();
                    int first = counts.Take(replica.Index).Sum(passes => passes.Sum());
                    for (int pass = 0; pass < own.Length; pass++)
                    {
                        variables.Begin(isLast: pass == own.Length - 1);
                        using Tensor inputs = tokens.Inputs(replica.Stream, first, own[pass]), labels = tokens.Labels(replica.Stream, first, own[pass]);
                        using GradientTape tape = new(replica.Stream, TapeMode.Training, new StepContext(Seed: 1, (ulong)step));
                        Variable loss = Losses.CrossEntropy(model.Forward(tape.Input(inputs)), labels);
                        tape.Backward(loss, variables.Gradients, isMeanOfMeans ? 1f / (own.Length * counts.Length) : (float)(own[pass] / all[0]));
                        variables.End(tape);
                        first += own[pass];
                    }
                    variables.Update(replica.Stream, learningRate: 0.3f);
                }
                variables.Refresh(replica.Stream);
                return model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(replica.Stream)).ToArray();
            })[0];
        }
    }

    private static Strategy Open(string name, int replicas)
    {
        CpuDevice[] devices = [.. Enumerable.Range(0, replicas).Select(_ => Device())];
        return name switch
        {
            "mirrored" => new MirroredStrategy(devices, ownsDevices: true),
            "central-storage" => new CentralStorageStrategy(devices, ownsDevices: true),
            _ => new ShardedStrategy(devices, ownsDevices: true),
        };
    }

    private static double Distance(float[] expected, float[] found) =>
        Math.Sqrt(expected.Zip(found, (a, b) => ((double)a - b) * ((double)a - b)).Sum()) / Math.Sqrt(expected.Sum(a => (double)a * a));

    private static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    private sealed class Tokens(Random random, int count)
    {
        private readonly float[] _inputs = [.. Enumerable.Range(0, count * Features).Select(_ => (random.NextSingle() * 2) - 1)];
        private readonly int[] _labels = [.. Enumerable.Range(0, count).Select(_ => random.Next(Classes))];

        internal int Count => count;

        internal Tensor Inputs(ExecutionStream stream, int first, int rows) => Tensor.From<float>(stream, _inputs.AsSpan(first * Features, rows * Features), new Shape(rows, Features));

        internal Tensor Labels(ExecutionStream stream, int first, int rows) => Tensor.From<int>(stream, _labels.AsSpan(first, rows), new Shape(rows));
    }
}
