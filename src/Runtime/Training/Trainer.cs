using System.Diagnostics;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Trains a module on one device: for each step, take a batch, forward, loss, backward, clip, optimizer. Everything it needs to go on
/// later is the module's state, the optimizer's state and the step's number. Owns only the gradients.
/// </summary>
public sealed class Trainer : IDisposable
{
    private readonly Module _model;
    private readonly Optimizer _optimizer;
    private readonly TrainerOptions _options;
    private readonly Func<Variable, Tensor, Variable> _loss;
    private readonly GradientClipping? _clipping;
    private IBatchFeed? _feed;

    /// <param name="model">Initialised; stays the caller's.</param>
    /// <param name="optimizer">Over the model's parameters; stays the caller's.</param>
    /// <param name="options">How long and at what rates.</param>
    public Trainer(Module model, Optimizer optimizer, TrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.LogEvery, 1);
        (_model, _optimizer, _options) = (model, optimizer, options);
        _loss = options.Loss ?? Losses.CrossEntropy;
        Gradients = new GradientStore(optimizer.Parameters);
        if (options.ClipNorm is { } maxNorm) _clipping = new GradientClipping(Gradients, maxNorm);
    }

    /// <summary>The gradients of the last step.</summary>
    public GradientStore Gradients { get; }

    /// <summary>
    /// Where the data stand behind the steps taken so far, for a checkpoint; to be asked for in callbacks while training runs, else null. A resumed run gives it back as
    /// <see cref="TrainerOptions.DataPosition"/>.
    /// </summary>
    public IteratorState? DataPosition => _feed?.Save();

    /// <summary>Trains to the end of the options' epochs or steps. Blocks.</summary>
    /// <exception cref="NonFiniteLossException">A loss was NaN or infinite. On the CPU the parameters are still those before that step.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled, between two steps.</exception>
    public TrainingResult Train(ExecutionStream stream, IBatchSource batches, IReadOnlyList<ITrainingCallback>? callbacks = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(batches);
        if (batches.BatchCount == 0) throw new ArgumentException("there are no batches to train on", nameof(batches));
        long stepCount = Math.Min(_options.StepLimit ?? long.MaxValue, (long)_options.EpochCount * batches.BatchCount);
        using TrainingLog log = new(stream, _options, batches.BatchCount, stepCount, callbacks ?? []);
        log.Begin();
        int epochCount = checked((int)((stepCount + batches.BatchCount - 1) / batches.BatchCount));
        using IBatchFeed feed = _feed = batches.Open(stream, epochCount, _options.FirstStep, _options.DataPosition, cancellation);
        try
        {
            for (long step = _options.FirstStep; step < stepCount; step++)
            {
                cancellation.ThrowIfCancellationRequested();
                log.BeginStep(step);
                using Batch batch = Next(feed, log);
                Step(stream, batch, step, log);
            }
        }
        finally
        {
            _feed = null;
        }
        return log.End();
    }

    private static Batch Next(IBatchFeed feed, TrainingLog log)
    {
        long asked = Stopwatch.GetTimestamp();
        Batch batch = feed.Next();
        log.AddDataWait(Stopwatch.GetElapsedTime(asked));
        return batch;
    }

    /// <summary>Frees the gradients.</summary>
    public void Dispose()
    {
        Gradients.Dispose();
        _clipping?.Dispose();
    }

    private void Step(ExecutionStream stream, in Batch batch, long step, TrainingLog log)
    {
        float learningRate = _options.Schedule.At(step);
        using GradientTape tape = new(stream, TapeMode.Training, new StepContext(_options.Seed, (ulong)step, batch.FirstSample));
        Variable loss = _loss(_model.Forward(tape.Input(batch.Inputs)), batch.Labels);
        Gradients.Clear();
        tape.Backward(loss, Gradients);
        if (step == _options.FirstStep) CheckAllReached();
        // The host's memory is at hand at no cost: a bad step is found before it does harm.
        if (stream.Device is CpuDevice && !float.IsFinite(loss.Value.AsSpan<float>()[0])) Fail(stream, step, learningRate, loss.Value.AsSpan<float>()[0]);
        _clipping?.Clip(stream);
        _optimizer.Step(stream, Gradients, learningRate);
        tape.ApplyStateUpdates();
        if (log.EndStep(batch.Count, learningRate, loss.Value, _clipping?.Norm) is { } bad) Fail(stream, bad.Step, _options.Schedule.At(bad.Step), bad.Loss);
    }

    private void CheckAllReached()
    {
        string[] names = [.. Gradients.ParametersWithoutGradient.Select(parameter => parameter.Name)];
        if (names.Length > 0)
            throw new InvalidOperationException($"the loss does not depend on {names.Length} parameter(s): {string.Join(", ", names.Take(5))}; leave them out of the optimizer or set RequiresGradient to false");
    }

    private void Fail(ExecutionStream stream, long step, float learningRate, float loss)
    {
        Parameter? first = Gradients.Parameters.FirstOrDefault(parameter =>
            !IsFinite(stream, parameter.Value) || (Gradients.Of(parameter) is { } gradient && !IsFinite(stream, gradient)));
        throw new NonFiniteLossException(step, learningRate, loss, first?.Name);
    }

    private static bool IsFinite(ExecutionStream stream, Tensor tensor) => Array.TrueForAll(tensor.ToArray<float>(stream), float.IsFinite);
}
