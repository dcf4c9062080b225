using DistTrain.Collectives;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>What replicas make of running statistics is averaged once a step, each replica, or virtual shard, by its samples.</summary>
public sealed class RunningStatisticsTests
{
    private const int Features = 4, Classes = 3;

    // Replicas by passes. Where passes follow one another on a replica they move the statistics one after another.
    public static TheoryData<string, int[][]> Parts() => new()
    {
        { "mirrored", [[5], [2], [1]] },
        { "mirrored", [[7], [0]] },
        { "mirrored", [[3, 2], [1, 1]] },
        { "central-storage", [[5], [2], [1]] },
        { "sharded-1", [[5], [2], [1]] },
        { "sharded-2", [[5], [2], [0]] },
        { "sharded-3", [[1], [6]] },
        { "virtual", [[3, 2], [1, 0]] },
        { "virtual", [[3, 2, 1, 0]] },
    };

    [Theory]
    [MemberData(nameof(Parts))]
    public void Uneven_parts_weigh_by_their_samples(string name, int[][] counts)
    {
        float[] found = Train(name, counts), initial = One([0], 0);
        double[] expected = new double[found.Length], unweighted = new double[found.Length];
        (int Weight, float[] State)[] parts = [.. name == "virtual" ? Shards(counts) : Replicas(counts)];
        foreach ((int weight, float[] state) in parts)
        {
            for (int i = 0; i < expected.Length; i++)
            {
                expected[i] += (double)state[i] * weight / parts.Sum(part => part.Weight);
                unweighted[i] += (double)state[i] / parts.Length;
            }
        }
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], found[i], 1e-6);
        Assert.InRange(expected.Zip(unweighted, (a, b) => Math.Abs(a - b)).Max(), 1e-4, 10);
        Assert.NotEqual(initial, found);
    }

    [Theory]
    [InlineData("mirrored", 2)]
    [InlineData("mirrored", 3)]
    [InlineData("central-storage", 3)]
    [InlineData("sharded-2", 3)]
    public void Even_parts_have_the_bits_of_the_plain_mean(string name, int replicas)
    {
        int[][] counts = [.. Enumerable.Repeat<int[]>([3], replicas)];
        float[][] states = [.. Replicas(counts).Select(part => part.State)];
        Assert.Equal([.. Enumerable.Range(0, states[0].Length).Select(i => states.Select(state => state[i]).Aggregate((a, b) => a + b) / replicas)], Train(name, counts));
    }

    [Theory]
    [InlineData(TestDevice.Vector128)]
    [InlineData(TestDevice.OpenClPocl)]
    [InlineData(TestDevice.Cuda)]
    public void Weights_of_even_parts_are_exactly_one_on_every_device(TestDevice which)
    {
        ComputeDevice device = TestDevices.Get(which);
        ExecutionStream stream = device.DefaultStream;
        using ICommunicator alone = Communicator.InProcess(1)[0];

        Assert.Equal([1f, 1, 1], Factors([7, 7, 7]));
        Assert.Equal([1f, 1, 1], Factors([0, 0, 0]));
        Numbers.AssertClose((double[])[1.8, 1.2, 0], Factors([3, 2, 0]), 1e-6f, 1e-6f);
        using Tensor factors = SampleWeights.Factors(stream, alone, [3, 1]), state = Tensor.From(stream, [2f, -4], new Shape(2));
        SampleWeights.Apply(stream, factors, 0, [state]);
        Assert.Equal([3f, -6], state.ToArray<float>(stream));

        float[] Factors(long[] samples)
        {
            using Tensor found = SampleWeights.Factors(stream, alone, samples);
            return found.ToArray<float>(stream);
        }
    }

    [Fact]
    public void Even_virtual_shards_have_the_bits_of_their_tree_on_any_number_of_replicas()
    {
        float[][] states = [.. Shards([[3, 3, 3, 3]]).Select(part => part.State)];
        float[] expected = [.. Enumerable.Range(0, states[0].Length).Select(i => ((states[0][i] + states[1][i]) + (states[2][i] + states[3][i])) * 0.25f)];

        foreach (int[][] counts in (int[][][])[[[3, 3, 3, 3]], [[3, 3], [3, 3]], [[3], [3], [3], [3]]]) Assert.Equal(expected, Train("virtual", counts));
    }

    [Fact]
    public void Uneven_virtual_shards_give_the_same_bits_on_any_number_of_replicas()
    {
        float[] one = Train("virtual", [[3, 2, 1, 0]]);
        Assert.Equal(one, Train("virtual", [[3, 2], [1, 0]]));
        Assert.Equal(one, Train("virtual", [[3], [2], [1], [0]]));
    }

    [Fact]
    public void A_step_without_samples_leaves_them_as_they_are() => Assert.Equal(One([0], 0), Train("mirrored", [[0], [0], [0]], isFirst: false));

    private static IEnumerable<(int Weight, float[] State)> Replicas(int[][] counts) => counts.Select((passes, i) => (passes.Sum(), One(passes, counts.Take(i).Sum(others => others.Sum()))));

    private static IEnumerable<(int Weight, float[] State)> Shards(int[][] counts)
    {
        int[] all = [.. counts.SelectMany(passes => passes)];
        return all.Select((count, i) => (count, One([count], all.Take(i).Sum())));
    }

    // What passes over these rows make of the initial state by themselves.
    private static float[] One(int[] passes, int first)
    {
        using CpuDevice device = Device();
        ExecutionStream stream = device.DefaultStream;
        using Normalised model = new();
        model.Initialize(stream, 1);
        foreach (int rows in passes)
        {
            if (rows == 0) continue;
            using Tensor inputs = Rows(stream, first, rows);
            using GradientTape tape = new(stream);
            model.Forward(tape.Input(inputs));
            tape.ApplyStateUpdates();
            first += rows;
        }
        return State(stream, model);
    }

    private static float[] Train(string name, int[][] counts, bool isFirst = true)
    {
        CpuDevice[] devices = [.. counts.Select(_ => Device())];
        using Strategy strategy = name switch
        {
            "mirrored" or "virtual" => new MirroredStrategy(devices, ownsDevices: true),
            "central-storage" => new CentralStorageStrategy(devices, ownsDevices: true),
            _ => new ShardedStrategy(devices, stage: name[^1] - '0', ownsDevices: true),
        };
        VariableOptions options = new() { VirtualShardCount = name == "virtual" ? counts.Sum(passes => passes.Length) : 0, ChecksReplicas = true };
        float[][] found = strategy.Run(replica =>
        {
            using Normalised model = new();
            model.Initialize(replica.Stream, 1);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, parameters => new Sgd(parameters), options);
            if (!isFirst)
            {
                // In the first step parameters without gradient would be an error.
                using Normalised initial = new();
                initial.Initialize(replica.Stream, 1);
                Step(replica.Stream, variables, [2], 0);
                variables.LoadModel(replica.Stream, initial.SaveState());
            }
            Step(replica.Stream, variables, counts[replica.Index], counts.Take(replica.Index).Sum(passes => passes.Sum()));
            return State(replica.Stream, model);
        });
        Assert.All(found, state => Assert.Equal(found[0], state));
        return found[0];
    }

    private static void Step(ExecutionStream stream, ReplicaVariables variables, int[] passes, int first)
    {
        variables.Gradients.Clear();
        for (int pass = 0; pass < passes.Length; pass++)
        {
            variables.Begin(isLast: pass == passes.Length - 1);
            if (passes[pass] == 0 && !variables.MeetsInPasses)
            {
                variables.End(null);
                continue;
            }
            using Tensor inputs = Rows(stream, first, passes[pass]), labels = Tensor.Zeros(stream, new Shape(passes[pass]), DType.I32);
            using GradientTape tape = new(stream);
            tape.Backward(Losses.CrossEntropy(variables.Model.Forward(tape.Input(inputs)), labels), variables.Gradients);
            variables.End(tape);
            first += passes[pass];
        }
        variables.Update(stream, learningRate: 0);
    }

    private static float[] State(ExecutionStream stream, Module model) => [.. model.StateTensors().SelectMany(state => state.Value.ToArray<float>(stream))];

    private static Tensor Rows(ExecutionStream stream, int first, int rows)
    {
        Random random = new(3);
        float[] all = [.. Enumerable.Range(0, 16 * Features).Select(_ => random.NextSingle() * 3)];
        return Tensor.From<float>(stream, all.AsSpan(first * Features, rows * Features), new Shape(rows, Features));
    }

    private static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    private sealed class Normalised : Module
    {
        private readonly BatchNormModule _norm;
        private readonly Linear _last;

        internal Normalised()
        {
            _norm = Register("norm", new BatchNormModule(Features));
            _last = Register("last", new Linear(Features, Classes));
        }

        public override Variable Forward(Variable input) => _last.Forward(_norm.Forward(input));
    }
}
