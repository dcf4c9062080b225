using CsCheck;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>The trainer's own steps over tokens, of which replicas, passes and virtual shards have different numbers: every token weighs the same, wherever it lies.</summary>
public sealed class TokenTrainingTests
{
    private const int Ignored = CrossEntropyOptions.DefaultIgnoreIndex;

    // 26 sequences in batches of 8: three full ones and one of 2, which leaves some replicas without any.
    private static readonly TokenBatches s_batches = new(26, 8, seed: 4);

    private static readonly TrainerOptions s_options = new()
    {
        EpochCount = 6, StepLimit = 20, LogEvery = 1, Seed = 5, Schedule = LearningRateSchedule.Constant(0.3f), IgnoreIndex = Ignored, Validation = new TokenBatches(11, 4, seed: 9),
    };

    public static TheoryData<string, int, int> Ways()
    {
        TheoryData<string, int, int> ways = [];
        foreach (int replicas in (int[])[1, 2, 3, 4])
            foreach (int passes in (int[])[1, 3]) ways.Add("mirrored", replicas, passes);
        ways.Add("central-storage", 3, 3);
        ways.Add("sharded-1", 3, 3);
        ways.Add("sharded-2", 3, 3);
        ways.Add("sharded-3", 4, 3);
        return ways;
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Any_number_of_replicas_and_passes_gives_the_one_device_run(string name, int replicas, int passes)
    {
        Run expected = Train("one-device", 1, s_options), found = Train(name, replicas, s_options with { AccumulationSteps = passes });

        Assert.InRange(expected.Distance(found), 0, 1e-5);
        Numbers(expected.Losses, found.Losses);
        Numbers(expected.EpochLosses, found.EpochLosses);
        Numbers(expected.ValidationLosses, found.ValidationLosses);
        // What is compared depends on the weights: those of samples lead elsewhere, and tell other losses.
        if (replicas * passes == 1) return;
        Run bySamples = Train(name, replicas, s_options with { AccumulationSteps = passes, IgnoreIndex = null });
        Assert.InRange(expected.Distance(bySamples), 1e-3, 10);
        Assert.InRange(Math.Abs(expected.Losses[0]!.Value - bySamples.Losses[0]!.Value), 1e-3, 10);
    }

    [Fact]
    public void Where_replicas_meet_in_passes_those_without_tokens_pass_too()
    {
        Run expected = Train("one-device", 1, s_options, hasBatchNorm: true);
        foreach (int replicas in (int[])[2, 3, 4]) Assert.InRange(expected.Distance(Train("mirrored", replicas, s_options, hasBatchNorm: true)), 0, 1e-5);
    }

    [Fact]
    public void On_an_opencl_device_it_holds_as_well()
    {
        // Some passes have no token.
        TrainerOptions options = s_options with { Validation = null, StepLimit = 8 };
        Run found = Train("opencl", 1, options with { AccumulationSteps = 5 }), expected = Train("one-device", 1, options);
        Assert.InRange(expected.Distance(found), 0, 1e-5);
        Numbers(expected.Losses, found.Losses);
    }

    [Fact]
    public void Masks_of_any_kind_give_the_one_device_run() =>
        Gen.Select(Gen.Int[1, 4], Gen.Int[1, 4], Gen.Bool.Array[12 * TokenBatches.Length], Gen.Bool.Array[12], Gen.Int[1, 12]).Sample(
            (replicas, passes, tokens, rows, batchSize) =>
            {
                TokenBatches batches = new(12, batchSize, seed: 2, ignored: 0);
                for (int i = 0; i < batches.Labels.Length; i++) batches.Labels[i] = tokens[i] || rows[i / TokenBatches.Length] ? -1 : i % TokenBatches.Classes;
                TrainerOptions options = s_options with { IgnoreIndex = -1, Validation = null, StepLimit = 6 };
                Run expected = Train("one-device", 1, options, batches: batches), found = Train("mirrored", replicas, options with { AccumulationSteps = passes }, batches: batches);
                Assert.InRange(expected.Distance(found), 0, 1e-5);
                Numbers(expected.Losses, found.Losses);
            }, iter: 40, threads: 1);

    [Theory]
    [InlineData(1.0)]
    [InlineData(0.1)]
    public void Virtual_shards_give_the_same_bits_on_any_number_of_replicas(double tokenWeight)
    {
        TrainerOptions options = s_options with { ElementCount = (stream, labels) => labels.ToArray<int>(stream).Sum(label => label == Ignored ? 0 : tokenWeight * (1 + label)), Loss = Weighted };
        Run[] found = [.. new[] { 1, 2, 4, 8 }.Select(replicas => Train("mirrored", replicas, options, new VariableOptions { VirtualShardCount = 8 }))];

        for (int i = 1; i < found.Length; i++) Assert.Equal(found[0].Parameters, found[i].Parameters);
        Assert.InRange(Train("one-device", 1, options).Distance(found[0]), 0, 1e-5);

        // The loss of classes that weigh 1, 2 and 3: a mean by weight, as a sum of means over one class each.
        Variable Weighted(Variable logits, Tensor labels)
        {
            int[] all = labels.ToArray<int>(logits.Tape.Stream);
            double total = all.Sum(label => label == Ignored ? 0 : 1.0 + label);
            Variable? sum = null;
            for (int label = 0; label < TokenBatches.Classes; label++)
            {
                using Tensor own = Tensor.From<int>(logits.Tape.Stream, [.. all.Select(other => other == label ? label : Ignored)], labels.Shape);
                using Tensor share = Tensor.From(logits.Tape.Stream, [(float)((1 + label) * all.Count(other => other == label) / total)], default);
                Variable part = MultiplyFunction.Apply(Losses.CrossEntropy(logits, own), logits.Tape.Input(share));
                sum = sum is null ? part : AddFunction.Apply(sum, part);
            }
            return sum!;
        }
    }

    [Fact]
    public void A_scaled_loss_gives_the_same_steps()
    {
        // A power of two, which changes no bits.
        Run expected = Train("mirrored", 3, s_options with { AccumulationSteps = 2 });
        Run found = Train("mirrored", 3, s_options with { AccumulationSteps = 2, LossScaling = new LossScaling { InitialScale = 1024 } });
        Assert.Equal(expected.Parameters, found.Parameters);
        Assert.Equal(expected.Losses, found.Losses);
    }

    [Fact]
    public void Each_step_of_a_parameter_server_has_its_own_tokens() =>
        // Steps run one after another, whoever does them.
        Assert.Equal(Train("one-device", 1, s_options with { AccumulationSteps = 2 }).Parameters, Train("parameter-server", 3, s_options with { AccumulationSteps = 2 }).Parameters);

    [Fact]
    public void A_loss_is_not_asked_for_where_no_label_counts()
    {
        Run expected = Train("one-device", 1, s_options);
        Run found = Train("mirrored", 4, s_options with
        {
            AccumulationSteps = 2,
            Loss = (logits, labels) => labels.ToArray<int>(logits.Tape.Stream).Any(label => label != Ignored) ? Losses.CrossEntropy(logits, labels) : throw new InvalidDataException("0 / 0"),
        });
        Assert.InRange(expected.Distance(found), 0, 1e-5);
    }

    [Theory]
    [InlineData("one-device", 1)]
    [InlineData("mirrored", 3)]
    [InlineData("sharded-2", 2)]
    [InlineData("parameter-server", 1)]
    public void A_step_without_any_element_is_taken_with_gradients_of_zero_and_has_no_loss(string name, int replicas)
    {
        TokenBatches batches = new(16, 4, seed: 7);
        batches.Labels[..(4 * TokenBatches.Length)].Fill(Ignored);
        TrainerOptions options = s_options with { Validation = null, StepLimit = 4, EpochCount = 1 };

        Run empty = Train(name, replicas, options with { StepLimit = 1 }, batches: batches), all = Train(name, replicas, options, batches: batches);

        Assert.Equal(Train("one-device", 1, options with { StepLimit = 0 }, batches: batches).Parameters, empty.Parameters);
        Assert.Equal([null], empty.Losses);
        Assert.All(all.Parameters, parameter => Assert.True(float.IsFinite(parameter)));
        Assert.InRange(empty.Distance(all), 1e-3, 10);
        Assert.Equal([true, false, false, false], all.Losses.Select(loss => loss is null));
        Assert.True(float.IsFinite(all.EpochLosses[0]!.Value));
        Assert.True(float.IsNaN(empty.EpochLosses[0]!.Value));
    }

    [Theory]
    [InlineData(-1.0, "-1")]
    [InlineData(double.NaN, "NaN")]
    [InlineData(double.PositiveInfinity, "Infinity")]
    public void A_count_that_makes_no_sense_is_an_error_that_names_step_replica_and_pass(double count, string text)
    {
        int asked = 0;
        string message = Assert.Throws<InvalidOperationException>(() => Train("mirrored", 3, s_options with
        {
            AccumulationSteps = 2, ElementCount = (_, _) => Replica.Current!.Index == 1 && ++asked == 6 ? count : 1,
        })).Message;
        Assert.Equal($"step 2, replica 1 of 3: ElementCount counted {text} elements in pass 2 of 2 (labels [1, 5]): give a finite number, 0 where none counts", message);
    }

    [Fact]
    public void Without_a_counter_nothing_is_sent_for_it()
    {
        TrainerOptions options = s_options with { Validation = null, StepLimit = 4, LogEvery = 100 };
        ulong without = Train("mirrored", 2, options with { IgnoreIndex = null }).CollectiveCount, with = Train("mirrored", 2, options).CollectiveCount;
        Assert.Equal(without + 4, with);
    }

    [Fact]
    public void Ignored_labels_are_left_out_of_what_an_evaluation_counts()
    {
        using OneDeviceStrategy strategy = new(Device(), ownsDevice: true);
        TokenBatches some = new(11, 4, seed: 9, ignored: 1);
        int counted = some.Labels.Length - some.Labels.Count(1);
        (EvaluationResult result, float mean) = strategy.Run(replica =>
        {
            using Tagger model = new(hasBatchNorm: false);
            model.Initialize(replica.Stream, 1);
            EvaluationResult result = Evaluator.Evaluate(replica.Stream, model, some, ignoreIndex: 1);
            using IBatchFeed feed = new TokenBatches(11, 11, seed: 9, ignored: 1).Open(replica.Stream, 1);
            using Batch all = feed.Next();
            using GradientTape tape = new(replica.Stream, TapeMode.Evaluation);
            return (result, Losses.CrossEntropy(model.Forward(tape.Input(all.Inputs)), all.Labels, new CrossEntropyOptions(IgnoreIndex: 1)).Value.ToArray<float>(replica.Stream)[0]);
        })[0];
        Assert.Equal(counted, result.SampleCount);
        Assert.Equal(mean, result.Loss, 1e-6f);
    }

    private static Run Train(string name, int replicas, TrainerOptions options, VariableOptions? variables = null, bool hasBatchNorm = false, TokenBatches? batches = null)
    {
        using Strategy strategy = Open(name, replicas);
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            Tagger model = new(hasBatchNorm);
            model.Initialize(replica.Stream, 11);
            return model;
        }, parameters => new Sgd(parameters), options, (variables ?? new VariableOptions { BucketByteCount = 256, FirstBucketByteCount = 64 }) with { SynchronizesBatchNorm = hasBatchNorm });
        Log log = new();
        trainer.Train(batches ?? s_batches, [log]);
        ulong collectives = strategy.Replicas[0].Communicator.FlightRecords(0) is [.., var last] ? last.Call.Sequence : 0;
        using IDisposable values = trainer.Gather();
        return new Run([.. trainer.Model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(strategy.Replicas[0].Stream))], log, collectives);
    }

    private static Strategy Open(string name, int replicas)
    {
        CpuDevice[] devices = [.. Enumerable.Range(0, replicas).Select(_ => Device())];
        return name switch
        {
            "one-device" => new OneDeviceStrategy(devices[0], ownsDevice: true),
            "mirrored" => new MirroredStrategy(devices, ownsDevices: true),
            "opencl" => new OneDeviceStrategy(TestDevices.Get(TestDevice.OpenClPocl)),
            "central-storage" => new CentralStorageStrategy(devices, ownsDevices: true),
            "parameter-server" => new ParameterServerStrategy(devices, new ParameterStoreOptions { StalenessBound = 0 }, ownsDevices: true),
            _ => new ShardedStrategy(devices, stage: name[^1] - '0', ownsDevices: true),
        };
    }

    private static void Numbers(List<float?> expected, List<float?> found)
    {
        Assert.Equal(expected.Count, found.Count);
        for (int i = 0; i < found.Count; i++)
        {
            Assert.Equal(expected[i].HasValue, found[i].HasValue);
            if (expected[i] is { } number) Assert.Equal(number, found[i]!.Value, 1e-4f);
        }
    }

    private static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    private sealed record Run(float[] Parameters, Log Log, ulong CollectiveCount)
    {
        internal List<float?> Losses => Log.Losses;

        internal List<float?> EpochLosses => Log.EpochLosses;

        internal List<float?> ValidationLosses => Log.ValidationLosses;

        internal double Distance(Run other) =>
            Math.Sqrt(Parameters.Zip(other.Parameters, (a, b) => ((double)a - b) * ((double)a - b)).Sum()) / Math.Sqrt(Parameters.Sum(a => (double)a * a));
    }

    private sealed class Log : ITrainingCallback
    {
        internal List<float?> Losses { get; } = [];

        internal List<float?> EpochLosses { get; } = [];

        internal List<float?> ValidationLosses { get; } = [];

        public void OnStepEnd(in StepMetrics metrics) => Losses.Add(metrics.Loss);

        public void OnEpochEnd(EpochMetrics metrics)
        {
            EpochLosses.Add(metrics.MeanLoss);
            if (metrics.Validation is { } validation) ValidationLosses.Add(validation.Loss);
        }
    }

    /// <summary>Classes of tokens.</summary>
    private sealed class Tagger : Module
    {
        private readonly Linear _first, _second;
        private readonly BatchNormModule? _norm;

        internal Tagger(bool hasBatchNorm)
        {
            _first = Register("first", new Linear(TokenBatches.Features, 8, Activation.Tanh));
            if (hasBatchNorm) _norm = Register("norm", new BatchNormModule(8));
            _second = Register("second", new Linear(8, TokenBatches.Classes));
        }

        public override Variable Forward(Variable input)
        {
            Variable hidden = _first.Forward(input);
            if (_norm is not null) hidden = ReshapeFunction.Apply(_norm.Forward(ReshapeFunction.Apply(hidden, new Shape(hidden.Shape[0] * TokenBatches.Length, 8))), hidden.Shape);
            return _second.Forward(hidden);
        }
    }
}
