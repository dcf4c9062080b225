using System.Diagnostics;
using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>Traces: every replica's spans in one file that viewers understand.</summary>
public sealed class TrainingTraceTests : IDisposable
{
    private const int StepCount = 10;
    private static readonly ImageBatchSource s_batches = new(SyntheticImages.Make(50, 8, 4, seed: 1), new ImageBatchOptions(10, Seed: 3));
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-trace-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Two_replicas_of_one_process_are_two_processes_of_the_trace_whose_spans_nest()
    {
        using MirroredStrategy strategy = new([Device(), Device()], ownsDevices: true);
        using TrainingTrace trace = TrainingTrace.Start(strategy);
        Train(strategy, Options() with { Validation = s_batches, Checkpoints = new CheckpointOptions { Folder = Path.Combine(_folder, "checkpoints") } });

        TraceReading read = new(trace.Save(Path.Combine(_folder, "out.json.gz"))!);

        read.AssertNested();
        Assert.Equal([0, 1], read.Processes.Keys.Order());
        Assert.StartsWith($"rank 1: {Environment.MachineName}, process {Environment.ProcessId}, cpu", read.Processes[1], StringComparison.Ordinal);
        Assert.Equal("all spans, rank 0's clock", read.Labels[1]);
        Assert.Equal(["compute", "communication", "input", "checkpoint"], Enumerable.Range(1, 4).Select(thread => read.Threads[(0, thread)]));
        for (int process = 0; process < 2; process++)
        {
            foreach (string name in (string[])["step", "forward", "backward", "optimizer", "input_wait", "communication_wait"]) Assert.Equal(StepCount, read.Of(name, process).Count());
            Assert.Equal(Enumerable.Range(0, StepCount), read.Of("step", process).Select(step => step.Arguments.GetProperty("step").GetInt32()));
            Assert.Equal(2, read.Of("evaluation", process).Count());
            foreach (string name in (string[])["forward", "backward", "optimizer", "communication_wait"])
                Assert.All(read.Of(name, process).Zip(read.Of("step", process)), pair => Assert.True(pair.First.Start >= pair.Second.Start && pair.First.End <= pair.Second.End, $"{pair.First} is not within {pair.Second}"));
        }
        Assert.NotEmpty(read.Of("checkpoint_snapshot", 0));
        Assert.NotEmpty(read.Of("checkpoint_write", 0));
        Assert.Empty(read.Of("checkpoint_write", 1));
    }

    [Fact]
    public void Every_bucket_is_shown_with_its_bytes_and_some_are_reduced_while_backward_runs()
    {
        using MirroredStrategy strategy = new([Device(), Device()], ownsDevices: true);
        using TrainingTrace trace = TrainingTrace.Start(strategy);
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            WaitingForABucket model = new(replica);
            model.Initialize(replica.Stream, 11);
            return model;
        }, p => new Sgd(p, 0.9f), Options(), new VariableOptions { FirstBucketByteCount = 256, BucketByteCount = 1 << 16 });
        trainer.Train(s_batches);

        TraceReading read = new(trace.Save(Path.Combine(_folder, "out.json"))!);

        read.AssertNested();
        for (int process = 0; process < 2; process++)
        {
            TraceEvent[] reductions = [.. read.Of("communication", process)], backward = [.. read.Of("backward", process)];
            int buckets = reductions.Max(each => each.Arguments.GetProperty("bucket").GetInt32()) + 1;
            Assert.True(buckets > 2, $"{buckets} buckets");
            Assert.Equal(StepCount * buckets, reductions.Length);
            Assert.All(reductions, each => Assert.True(each.Arguments.GetProperty("bytes").GetInt64() > 0));
            Assert.Contains(reductions, each => backward.Any(pass => each.Start < pass.End && each.End > pass.Start && each.Thread != pass.Thread));
        }
    }

    [Fact]
    public void Processes_send_their_spans_to_the_first_and_clocks_that_differ_are_aligned()
    {
        const long Ahead = 3_600_000_000_000;
        string path = Path.Combine(_folder, "out.json.gz");
        ReplicaThreads.RunOverSharedMemory(3, (rank, communicator) =>
        {
            using CpuDevice device = Device();
            // Not disposed: the communicator is others' here.
            MultiWorkerMirroredStrategy strategy = new(device, communicator);
            using TrainingTrace trace = TrainingTrace.Start(strategy);
            Train(strategy, Options());
            // The last process is on another host, whose clock is an hour ahead.
            TraceClock clock = rank < 2 ? new TraceClock(1, TraceClock.Nanoseconds) : new TraceClock(2, () => TraceClock.Nanoseconds() + Ahead);
            Assert.Equal(rank == 0 ? path : null, trace.Save(path, clock));
        }, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60) });

        TraceReading read = new(path);
        read.AssertNested();
        Assert.Equal([0, 1, 2], read.Processes.Keys.Order());
        Assert.Equal("all spans, rank 0's clock", read.Labels[1]);
        Assert.Matches(@"^all spans, clock aligned by -3(599|600)\d{6}\.\d us, to \d+\.\d us$", read.Labels[2]);
        // Their spans were taken from one clock, here: what was added to the last one's are the hour and the error, which is what it says at most.
        decimal stated = decimal.Parse(read.Labels[2].Split("to ")[1].Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);
        decimal shift = read.Of("step", 2).First().Start - read.Of("step", 0).First().Start + (Ahead / 1000m);
        Assert.InRange(shift, -30_000_000 - stated, 30_000_000 + stated);
        Assert.All(Enumerable.Range(0, 3), process => Assert.Equal(StepCount, read.Of("step", process).Count()));
    }

    [Fact]
    public void The_offset_of_a_clock_is_found_to_the_uncertainty_that_is_told()
    {
        const long Ahead = -777_000_000_123;
        ReplicaThreads.Run(2, (rank, communicator) =>
        {
            using CpuDevice device = Device();
            TraceClock clock = new(rank, () => TraceClock.Nanoseconds() + (rank * Ahead));
            ClockOffset[] found = clock.Align(device.DefaultStream, communicator);
            Assert.Equal(default, found[0]);
            Assert.InRange(found[1].Offset, -Ahead - found[1].Uncertainty, -Ahead + found[1].Uncertainty);
        });
    }

    [Fact]
    public void The_oldest_spans_make_room_and_the_trace_says_how_many()
    {
        using OneDeviceStrategy strategy = new(Device(), ownsDevice: true);
        using TrainingTrace trace = TrainingTrace.Start(strategy, spanCount: 7);
        Train(strategy, Options());
        TraceReading read = new(trace.Save(Path.Combine(_folder, "out.json"))!);
        Assert.Equal(7, read.Events.Count);
        Assert.Matches("^the oldest [0-9]+ spans were dropped, rank 0's clock$", read.Labels[0]);
        Assert.All(read.Events, each => Assert.True(each.Arguments.GetProperty("step").GetInt32() >= StepCount - 2));
    }

    [Fact]
    public void After_a_failure_a_process_writes_what_it_knows_beside_the_place_of_the_whole()
    {
        using MirroredStrategy strategy = new([Device(), Device()], new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(30) }, ownsDevices: true);
        using TrainingTrace trace = TrainingTrace.Start(strategy);
        Assert.Throws<InvalidDataException>(() => strategy.Run(replica =>
        {
            using (new MeasuredActivity("preparation").Begin()) Thread.Sleep(1);
            throw new InvalidDataException("the disk is on fire");
        }));
        string part = trace.SavePart(Path.Combine(_folder, "out.json.gz"));
        Assert.Equal(Path.Combine(_folder, "out.rank0.json.gz"), part);
        Assert.Equal([0, 1], new TraceReading(part).Of("preparation").Select(each => each.Process).Order());
        Assert.Equal([part], Directory.GetFiles(_folder));
    }

    [Fact]
    public void Recording_allocates_nothing_for_a_span_and_nothing_where_it_is_off()
    {
        using OneDeviceStrategy strategy = new(Device(), ownsDevice: true);
        MeasuredActivity activity = new("work");
        long off = Allocated(strategy, activity);
        using TrainingTrace trace = TrainingTrace.Start(strategy, spanCount: 100);
        long on = Allocated(strategy, activity);
        Assert.Equal((0, 0), (off, on));
    }

    [Fact]
    public void A_strategy_is_recorded_once_at_a_time_and_names_are_checked()
    {
        using OneDeviceStrategy strategy = new(Device(), ownsDevice: true);
        TrainingTrace.Start(strategy).Dispose();
        using TrainingTrace trace = TrainingTrace.Start(strategy);
        Assert.Throws<InvalidOperationException>(() => TrainingTrace.Start(strategy));
        Assert.Throws<ArgumentOutOfRangeException>(() => TrainingTrace.Start(strategy, 0));
        Assert.StartsWith("'Forward pass' is no name of an activity", Assert.Throws<ArgumentException>(() => new MeasuredActivity("Forward pass")).Message, StringComparison.Ordinal);
        Assert.Equal("a/out.rank3.json", TrainingTrace.PartOf("a/out.json", 3));
        Assert.Equal("out.rank3", TrainingTrace.PartOf("out", 3));
    }

    private static long Allocated(OneDeviceStrategy strategy, MeasuredActivity activity) => strategy.Run(_ =>
    {
        for (int i = 0; i < 3; i++) using (activity.Begin()) { }
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++) using (activity.Begin()) { }
        return GC.GetAllocatedBytesForCurrentThread() - before;
    })[0];

    private static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    private static TrainerOptions Options() => new() { EpochCount = 2, LogEvery = 3, Schedule = LearningRateSchedule.Constant(0.05f), StepLimit = StepCount };

    private static void Train(Strategy strategy, TrainerOptions options)
    {
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            Mlp model = new(64, 16, 4);
            model.Initialize(replica.Stream, 11);
            return model;
        }, p => new Sgd(p, 0.9f), options);
        trainer.Train(s_batches);
    }

    /// <summary>Whether a bucket is reduced while backward runs is for the scheduler to say: here backward waits, before its last layer, until a large one was.</summary>
    private sealed class WaitingForABucket : Module
    {
        private const int Width = 512;
        private readonly Replica _replica;
        private readonly Linear _first, _second, _third;

        public WaitingForABucket(Replica replica)
        {
            _replica = replica;
            _first = Register("first", new Linear(64, Width, Activation.Relu));
            _second = Register("second", new Linear(Width, Width, Activation.Relu));
            _third = Register("third", new Linear(Width, 4));
        }

        public override Variable Forward(Variable input)
        {
            Stopwatch watch = Stopwatch.StartNew();
            return _third.Forward(_second.Forward(Wait.Apply(_first.Forward(ReshapeFunction.Flatten(input)), () => IsReduced(watch.Elapsed))));
        }

        private bool IsReduced(TimeSpan since) =>
            _replica.Communicator.FlightRecords(_replica.Index).Any(record => record.State == FlightState.Done && record.Call.ElementCount == Width * Width && record.Age < since);
    }

    /// <summary>The input, whose gradient waits for something.</summary>
    private sealed class Wait : Function
    {
        private readonly Variable _input;
        private readonly Func<bool> _isOver;

        private Wait(Variable input, Func<bool> isOver) => (_input, _isOver) = (input, isOver);

        public static Variable Apply(Variable input, Func<bool> isOver)
        {
            Variable output = input.Tape.Adopt(input.Value.Reshape(input.Shape));
            output.Views(input);
            return input.Tape.Record(output, new Wait(input, isOver));
        }

        protected internal override void BackwardInput()
        {
            Assert.True(SpinWait.SpinUntil(_isOver, TimeSpan.FromSeconds(60)), "no bucket is reduced while backward runs");
            PassOutputGradient(_input);
        }
    }
}
