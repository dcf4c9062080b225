using System.Diagnostics;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Trains a module on one device, or one replica of it under a <see cref="Strategy"/>: for each step, take the replica's part of a batch, forward, loss, backward, update. Everything it
/// needs to go on later is the module's state, the optimizer's state and the step's number. Owns only the gradients.
/// </summary>
public sealed class Trainer : IDisposable
{
    private readonly ReplicaVariables _variables;
    private readonly TrainerOptions _configured;
    private readonly Func<Variable, Tensor, Variable> _loss;
    private readonly PassWeights _weights;
    private readonly bool _ownsVariables;
    private readonly double[] _asked = new double[1];
    private TrainerOptions _options;
    private StepFeed? _feed;
    private Tensor? _stepLoss;
    private bool _isFirstStep;

    /// <summary>Trains on one device.</summary>
    /// <param name="model">Initialised; stays the caller's.</param>
    /// <param name="optimizer">Over the model's parameters; stays the caller's.</param>
    /// <param name="options">How long and at what rates.</param>
    public Trainer(Module model, Optimizer optimizer, TrainerOptions options)
        : this(Local(model, optimizer, options), options) => _ownsVariables = true;

    /// <summary>Trains as one replica of a strategy: every replica does the same, each on its own thread, with the same options.</summary>
    /// <param name="variables">The replica's variables; stay the caller's. They clip by their own options, not by the trainer's.</param>
    /// <param name="options">How long and at what rates.</param>
    public Trainer(ReplicaVariables variables, TrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(variables);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.LogEvery, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.AccumulationSteps, 1);
        if (variables.PassesPerStep > 0 && options.AccumulationSteps > 1)
            throw new ArgumentException($"{options.AccumulationSteps} accumulation steps with virtual shards, which divide a batch already: take more shards instead", nameof(options));
        if (variables.TakesSteps && options.Checkpoints is not null)
            throw new ArgumentException("a parameter server saves its variables itself: set ParameterStoreOptions.Checkpoints instead of the trainer's", nameof(options));
        if (options.UsedLossScaling is not null && variables.LossScaler is null)
            throw new ArgumentException($"{options.Precision} needs loss scaling, and the variables were made without: set VariableOptions.LossScaling where they are created", nameof(options));
        (_variables, _options, _configured) = (variables, options, options);
        _loss = options.UsedLoss;
        _weights = new PassWeights(options);
    }

    /// <summary>The gradients of the last step.</summary>
    public GradientStore Gradients => _variables.Gradients;

    /// <summary>
    /// Where the data stand behind the steps taken so far, for a checkpoint; to be asked for in callbacks while training runs, else null. A resumed run gives it back as
    /// <see cref="TrainerOptions.DataPosition"/>.
    /// </summary>
    public IteratorState? DataPosition => _feed?.Save();

    /// <summary>Trains to the end of the options' epochs or steps. Blocks.</summary>
    /// <exception cref="NonFiniteLossException">A loss was NaN or infinite. On the CPU the parameters are still those before that step.</exception>
    /// <exception cref="LossScaleException">Gradients overflow at the smallest loss scale; the parameters are still those before that step.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled, between two steps.</exception>
    /// <exception cref="CheckpointException">The last checkpoint could not be written; or the one to go on from can't be read, or belongs to other batches.</exception>
    /// <exception cref="PreemptedException">It was asked to stop, and saved itself where <see cref="TrainerOptions.Checkpoints"/> say so.</exception>
    public TrainingResult Train(ExecutionStream stream, IBatchSource batches, IReadOnlyList<ITrainingCallback>? callbacks = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(batches);
        if (batches.BatchCount == 0) throw new ArgumentException("there are no batches to train on", nameof(batches));
        using BackupAndRestore? checkpoints = _configured.Checkpoints is { } folder ? new BackupAndRestore(stream, _variables, folder, batches, _configured.Seed) : null;
        TrainingPosition? resumed = checkpoints?.Restore(stream);
        _options = resumed is null ? _configured : GoOnFrom(resumed);
        long stepCount = Math.Min(_options.StepLimit ?? long.MaxValue, (long)_options.EpochCount * batches.BatchCount);
        using TrainingLog log = new(stream, _variables, _options, batches.BatchCount, stepCount, callbacks ?? [], resumed?.Losses, cancellation);
        log.Begin();
        int epochCount = checked((int)((stepCount + batches.BatchCount - 1) / batches.BatchCount));
        BatchShard part = _variables.TakesSteps ? BatchShard.Whole : _variables.Shard;
        using StepFeed feed = _feed = new StepFeed((step, position) => batches.Open(stream, epochCount, step, position, part, cancellation), _options.FirstStep, _options.DataPosition);
        TrainingPosition Position(long step) => new(step, _variables.Optimizer.StepCount, _options.Seed, feed.Save().ToBytes().ToArray(), batches.SamplesBefore(step) ?? ((resumed?.SampleCount ?? 0) + log.SampleCount), log.ValidationLoss, LossScale: _variables.LossScaler?.Save()) { LearningRate = _options.Schedule.At(step), Losses = log.Losses };
        try
        {
            long step = _options.FirstStep - 1;
            _isFirstStep = true;
            while (_variables.TryTakeStep(ref step, stepCount))
            {
                cancellation.ThrowIfCancellationRequested();
                long next = step + 1;
                if (Replica.Current is { } replica) replica.Step = step;
                log.BeginStep(step);
                long began = Stopwatch.GetTimestamp();
                using Batch batch = Next(feed, step, log);
                Step(stream, batch, step, log, began);
                if (checkpoints is not null) SaveIfTime(stream, checkpoints, log, () => Position(next), next);
                if (IsPreempted(stream))
                {
                    SumUp(stream, log);
                    checkpoints?.SaveTogether(stream, Position(next));
                    throw new PreemptedException(next, checkpoints is not null || _variables.TrySave());
                }
            }
            _variables.Refresh(stream);
            if (stepCount > _options.FirstStep) checkpoints?.SaveNow(stream, Position(stepCount));
        }
        finally
        {
            _feed = null;
        }
        return log.End();
    }

    private void SaveIfTime(ExecutionStream stream, BackupAndRestore checkpoints, TrainingLog log, Func<TrainingPosition> position, long next)
    {
        // Not by the clock, which the first replica alone may look at: then losses that were not read yet are not in the checkpoint.
        if (checkpoints.IsDue(next, log.EndsEpoch)) SumUp(stream, log);
        checkpoints.AfterStep(stream, position, next, log.EndsEpoch);
    }

    private void SumUp(ExecutionStream stream, TrainingLog log)
    {
        if (log.SumUp() is { } bad) Fail(stream, bad.Step, _options.Schedule.At(bad.Step), bad.Loss);
    }

    private TrainerOptions GoOnFrom(TrainingPosition position)
    {
        float rate = _configured.Schedule.At(position.Step);
        if (_variables.IsFirst && position.LearningRate is { } before && before != rate)
            _configured.Checkpoints!.Say?.Invoke($"the checkpoint's run had learning rate {before} at step {position.Step}, this one's schedule has {rate}: it goes on with the latter");
        return _configured with { FirstStep = position.Step, DataPosition = position.DataPosition };
    }

    // All stop at the same step, whoever was asked.
    private bool IsPreempted(ExecutionStream stream)
    {
        if (!_options.Preemption.CanBeCanceled) return false;
        _asked[0] = _options.Preemption.IsCancellationRequested ? 1 : 0;
        _variables.Sum(stream, _asked);
        return _asked[0] > 0;
    }

    private static Batch Next(StepFeed feed, long step, TrainingLog log)
    {
        long asked = Stopwatch.GetTimestamp();
        Batch batch = feed.At(step);
        log.AddDataWait(Stopwatch.GetElapsedTime(asked));
        MeasuredActivity.InputWait.Record(asked, Stopwatch.GetTimestamp());
        return batch;
    }

    /// <summary>Frees the gradients.</summary>
    public void Dispose()
    {
        _stepLoss?.Dispose();
        if (_ownsVariables) _variables.Dispose();
    }

    private static LocalVariables Local(Module model, Optimizer optimizer, TrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(options);
        ReplicaVariables.CheckFree(model);
        return new LocalVariables(model, optimizer, options.ClipNorm, options.UsedLossScaling);
    }

    private void Step(ExecutionStream stream, in Batch batch, long step, TrainingLog log, long began)
    {
        float learningRate = _options.Schedule.At(step);
        Gradients.Clear();
        Tensor loss = Passes(stream, batch, step, learningRate);
        _variables.Update(stream, learningRate);
        MeasuredActivity.Step.Record(began, Stopwatch.GetTimestamp());
        TrainingMeter.CountStep(batch.Count, _variables.LossScale);
        if (log.EndStep(batch, learningRate, loss, _weights.Own(batch), _variables.GradientNorm) is { } bad) Fail(stream, bad.Step, _options.Schedule.At(bad.Step), bad.Loss);
    }

    // Micro-batches, or the replica's virtual shards of the whole batch, one after another; their gradients and losses add up, each by its weight. A last batch can be too small for all
    // replicas: then this one passes with none.
    private Tensor Passes(ExecutionStream stream, in Batch batch, long step, float learningRate)
    {
        int passes = PassRows.PassCount(_variables, batch, _options.AccumulationSteps);
        _weights.Count(stream, _variables, batch, step, passes);
        ClearLoss(stream);
        for (int i = 0; i < passes; i++) Pass(stream, batch, step, learningRate, i, passes);
        return _stepLoss!;
    }

    private void ClearLoss(ExecutionStream stream)
    {
        _stepLoss ??= Tensor.Allocate(stream, default);
        _stepLoss.Clear(stream);
    }

    // Forward and backward over some of the batch's samples.
    private void Pass(ExecutionStream stream, in Batch batch, long step, float learningRate, int pass, int passCount)
    {
        PassRows rows = PassRows.Of(_variables, batch, pass, passCount);
        _variables.Begin(isLast: pass == passCount - 1);
        if (rows.Count == 0 && !_variables.MeetsInPasses)
        {
            _variables.End(null);
            return;
        }
        bool isWhole = rows.Count == batch.Count;
        using Tensor inputs = isWhole ? batch.Inputs.Share() : batch.Inputs.Slice(rows.First, rows.Count);
        using Tensor labels = isWhole ? batch.Labels.Share() : batch.Labels.Slice(rows.First, rows.Count);
        using GradientTape tape = new(stream, TapeMode.Training, new StepContext(_options.Seed, (ulong)step, batch.FirstSample + rows.First), _options.Precision);
        if (_weights.IsEmpty(pass))
        {
            PassWithoutElements(tape, inputs);
            return;
        }
        Variable loss = Forward(tape, inputs, labels);
        tape.Backward(loss, Gradients, _weights.OfAll(batch, rows, pass) * _variables.LossScale);
        if (_isFirstStep) CheckAllReached();
        // The host's memory is at hand at no cost: a bad step is found before it does harm.
        if (rows.Count > 0 && stream.Device is CpuDevice && !float.IsFinite(loss.Value.AsSpan<float>()[0])) Fail(stream, step, learningRate, loss.Value.AsSpan<float>()[0]);
        _variables.End(tape);
        if (rows.Count == 0) return;
        if (isWhole) loss.Value.CopyTo(stream, _stepLoss!);
        else Elementwise.AddScaled(stream, _stepLoss!, loss.Value, _weights.OfOwn(batch, rows, pass));
    }

    // Where no label counts, a loss that is a mean is 0 / 0: gradients are zero, whatever it makes of that, and the pass meets the others' like any other.
    private void PassWithoutElements(GradientTape tape, Tensor inputs)
    {
        Variable output = Forward(tape, inputs, labels: null);
        using Tensor zeros = Tensor.Zeros(tape.Stream, output.Shape);
        tape.Backward(output, zeros, Gradients);
        _variables.End(tape);
    }

    // To the loss, or without labels to the model's output.
    private Variable Forward(GradientTape tape, Tensor inputs, Tensor? labels)
    {
        using ActivityScope measured = MeasuredActivity.Forward.Begin();
        Variable output = _variables.Model.Forward(tape.Input(inputs));
        return labels is null ? output : _loss(output, labels);
    }

    private void CheckAllReached()
    {
        _isFirstStep = false;
        string[] names = [.. Gradients.ParametersWithoutGradient.Select(parameter => parameter.Name)];
        if (names.Length > 0) throw ReplicaVariables.Unreached(names);
    }

    private void Fail(ExecutionStream stream, long step, float learningRate, float loss)
    {
        Parameter? first = Gradients.Parameters.FirstOrDefault(parameter =>
            (parameter.HasValue && !IsFinite(stream, parameter.Value)) || (Gradients.Of(parameter) is { } gradient && !IsFinite(stream, gradient)));
        throw new NonFiniteLossException(step, learningRate, loss, first?.Name);
    }

    private static bool IsFinite(ExecutionStream stream, Tensor tensor) => Array.TrueForAll(tensor.ToArray<float>(stream), float.IsFinite);
}
