using System.Diagnostics;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Keeps the books of a run: when to read losses back, what to tell the callbacks.</summary>
internal sealed class TrainingLog : IDisposable
{
    private readonly ExecutionStream _stream;
    private readonly ReplicaVariables _variables;
    private readonly TrainerOptions _options;
    private readonly int _batchCount;
    private readonly long _stepCount;
    private readonly IReadOnlyList<ITrainingCallback> _callbacks;
    private readonly LossHistory _history;
    private readonly long _began = Stopwatch.GetTimestamp();
    private readonly float[] _norm = new float[1];
    private readonly double[] _totals = new double[4];
    private long _step, _samples, _epochSamples, _epochSteps, _epochBegan, _readAt, _samplesAtReading;
    private readonly RunningLosses? _before;
    private double _intervalSum, _intervalWeight, _epochLossSum, _epochWeight, _rate;
    private float _lastLoss = float.NaN;
    private TimeSpan _dataWait, _epochDataWait;
    private readonly CancellationToken _cancellation;
    private int _openEpoch = -1;

    public TrainingLog(ExecutionStream stream, ReplicaVariables variables, TrainerOptions options, int batchCount, long stepCount, IReadOnlyList<ITrainingCallback> callbacks, RunningLosses? before, CancellationToken cancellation)
    {
        (_before, _cancellation) = (before, cancellation);
        if (before is not null) (_intervalSum, _intervalWeight) = (before.IntervalSum, before.IntervalWeight);
        (_stream, _variables, _options, _batchCount, _stepCount, _callbacks) = (stream, variables, options, batchCount, stepCount, callbacks);
        _history = new LossHistory(stream, options.LogEvery);
        _readAt = _began;
    }

    /// <summary>Samples seen by this run.</summary>
    public long SampleCount => _samples;

    /// <summary>Whether the step that ended last was its epoch's last.</summary>
    public bool EndsEpoch => (_step + 1) % _batchCount == 0;

    /// <summary>For a checkpoint; null while there are losses that replicas have not told each other.</summary>
    public RunningLosses? Losses => _history.Count > 0 ? null : new RunningLosses(_intervalSum, _intervalWeight, _epochLossSum, _epochWeight);

    /// <summary>Of the epoch that ended with the last step; null where none did or nothing was measured.</summary>
    public float? ValidationLoss { get; private set; }

    // Steps that are given out come in no certain order: an epoch lasts until one of a later epoch comes.
    private int Epoch => _variables.TakesSteps ? Math.Max(_openEpoch, EpochOf(_step)) : EpochOf(_step);

    public void Begin()
    {
        foreach (ITrainingCallback callback in _callbacks) callback.OnTrainingBegin(_options.FirstStep, _stepCount, _batchCount);
    }

    public void BeginStep(long step)
    {
        if (_variables.TakesSteps)
        {
            if (_openEpoch >= 0 && EpochOf(step) > _openEpoch) CloseEpoch();
            _step = step;
            if (_openEpoch < 0) BeginEpoch();
        }
        else
        {
            _step = step;
            if (step == _options.FirstStep || step % _batchCount == 0) BeginEpoch();
        }
        foreach (ITrainingCallback callback in _callbacks) callback.OnStepBegin(step);
    }

    /// <summary>Adds to the time that steps have waited for their batch.</summary>
    public void AddDataWait(TimeSpan wait)
    {
        _dataWait += wait;
        _epochDataWait += wait;
    }

    /// <summary>Returns the first step whose loss is not finite, if a reading found one. The weight is that of the replica's loss: its samples, or what else was counted.</summary>
    public (long Step, float Loss)? EndStep(in Batch batch, float learningRate, Tensor loss, double weight, Tensor? norm)
    {
        int sampleCount = batch.GlobalCount;
        _samples += sampleCount;
        _epochSamples += sampleCount;
        _epochSteps++;
        ValidationLoss = null;
        _history.Add(_stream, loss, weight);
        bool endsEpoch = !_variables.TakesSteps && ((_step + 1) % _batchCount == 0 || _step + 1 == _stepCount);
        bool reads = endsEpoch || _history.IsFull || (!_variables.TakesSteps && (_step + 1) % _options.LogEvery == 0);
        (float? last, float? mean, float? gradientNorm) = (null, null, null);
        if (reads)
        {
            if (Read(out last, out mean) is { } bad) return bad;
            gradientNorm = ReadNorm(norm);
        }
        StepMetrics metrics = new(_step, Epoch, (int)(_step % _batchCount), _batchCount, sampleCount, learningRate, last, mean, gradientNorm, _rate, Stopwatch.GetElapsedTime(_began), _variables.LossScaler?.Scale,
            _variables.LossScaler?.SkippedStepCount ?? 0);
        foreach (ITrainingCallback callback in _callbacks) callback.OnStepEnd(metrics);
        if (endsEpoch) EndEpoch();
        return null;
    }

    /// <summary>Adds up the losses so far, so that a checkpoint has them. Collective; returns as <see cref="EndStep"/>.</summary>
    public (long Step, float Loss)? SumUp() => _history.Count > 0 ? SumUp(out _) : null;

    public TrainingResult End()
    {
        if (_variables.TakesSteps && _openEpoch >= 0) CloseEpoch();
        long next = Math.Max(_stepCount, _options.FirstStep);
        TrainingResult result = new(next, _samples, _lastLoss, Stopwatch.GetElapsedTime(_began), _dataWait);
        foreach (ITrainingCallback callback in _callbacks) callback.OnTrainingEnd(result);
        return result;
    }

    public void Dispose() => _history.Dispose();

    private int EpochOf(long step) => (int)(step / _batchCount);

    // Of steps that were given out: what is left to read is read now.
    private void CloseEpoch()
    {
        if (_history.Count > 0 && Read(out _, out _) is (long step, float loss)) throw new NonFiniteLossException(step, _options.Schedule.At(step), loss, parameter: null);
        EndEpoch();
        _openEpoch = -1;
    }

    private void BeginEpoch()
    {
        _openEpoch = EpochOf(_step);
        (_epochSamples, _epochSteps, _epochLossSum, _epochWeight, _epochDataWait, _epochBegan) = (0, 0, 0, 0, TimeSpan.Zero, Stopwatch.GetTimestamp());
        // An epoch that another run began.
        if (_before is not null && _step == _options.FirstStep && _step % _batchCount != 0) (_epochLossSum, _epochWeight) = (_before.EpochSum, _before.EpochWeight);
        foreach (ITrainingCallback callback in _callbacks) callback.OnEpochBegin(Epoch);
    }

    private void EndEpoch()
    {
        TimeSpan duration = Stopwatch.GetElapsedTime(_epochBegan);
        EvaluationResult? validation = _options.Validation is { } samples && (_variables.IsFirst || !_variables.TakesSteps) ? Evaluator.Evaluate(_stream, _variables, samples, _options.IgnoreIndex ?? CrossEntropyOptions.DefaultIgnoreIndex, _cancellation) : null;
        ValidationLoss = validation?.Loss;
        EpochMetrics metrics = new(Epoch, _epochSteps, _epochSamples, (float)(_epochLossSum / _epochWeight), duration, _epochDataWait, validation);
        foreach (ITrainingCallback callback in _callbacks) callback.OnEpochEnd(metrics);
        // What callbacks did (evaluation, saving) is not the training's speed.
        (_readAt, _samplesAtReading) = (Stopwatch.GetTimestamp(), _samples);
    }

    private (long, float)? Read(out float? lastLoss, out float? meanLoss)
    {
        meanLoss = null;
        if (SumUp(out lastLoss) is { } bad) return bad;
        if (_intervalWeight > 0) meanLoss = (float)(_intervalSum / _intervalWeight);
        (_intervalSum, _intervalWeight) = (0, 0);
        long now = Stopwatch.GetTimestamp();
        _rate = (_samples - _samplesAtReading) / Math.Max(Stopwatch.GetElapsedTime(_readAt, now).TotalSeconds, 1e-9);
        (_readAt, _samplesAtReading) = (now, _samples);
        return null;
    }

    private (long, float)? SumUp(out float? lastLoss)
    {
        (ReadOnlyMemory<float> losses, ReadOnlyMemory<double> weights) = _history.Take(_stream);
        (double sum, double weight) = (0, 0);
        lastLoss = null;
        for (int i = 0; i < losses.Length; i++)
        {
            if (!float.IsFinite(losses.Span[i])) return (_step - losses.Length + 1 + i, losses.Span[i]);
            sum += losses.Span[i] * weights.Span[i];
            weight += weights.Span[i];
        }
        // Losses of all replicas, each by its weight; of what weighs nothing there is none.
        int last = losses.Length - 1;
        (_totals[0], _totals[1], _totals[2], _totals[3]) = (sum, weight, losses.Span[last] * weights.Span[last], weights.Span[last]);
        _variables.Sum(_stream, _totals);
        if (_totals[3] > 0) _lastLoss = (float)(lastLoss = (float)(_totals[2] / _totals[3]));
        (_intervalSum, _intervalWeight, _epochLossSum, _epochWeight) = (_intervalSum + _totals[0], _intervalWeight + _totals[1], _epochLossSum + _totals[0], _epochWeight + _totals[1]);
        return null;
    }

    private float? ReadNorm(Tensor? norm)
    {
        if (norm is null) return null;
        norm.CopyTo<float>(_variables.OptimizerStream(_stream), _norm);
        return _norm[0];
    }
}
