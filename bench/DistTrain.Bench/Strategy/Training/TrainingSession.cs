using System.Diagnostics;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Bench;

/// <summary>
/// Training under a strategy that can be gone on with for so many steps at a time: every replica works on a batch of its own that is in its device's memory, so that nothing but training is timed.
/// </summary>
public sealed class TrainingSession : IDisposable
{
    private const int ClassCount = 10;
    private readonly Strategy _strategy;
    private readonly ReplicaWork[] _replicas;
    private readonly int _passCount;

    /// <summary>Makes models and variables.</summary>
    /// <param name="strategy">Where; disposed with the session.</param>
    /// <param name="model">By its name in the catalogue.</param>
    /// <param name="batch">Samples of a replica's step.</param>
    /// <param name="passCount">Equal parts that a replica takes its batch in.</param>
    /// <param name="variables">As for <see cref="Strategy.CreateVariables"/>.</param>
    public TrainingSession(Strategy strategy, string model, int batch, int passCount = 1, VariableOptions? variables = null)
    {
        ArgumentNullException.ThrowIfNull(strategy);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(passCount);
        (_strategy, _passCount) = (strategy, passCount);
        _replicas = strategy.Run(replica => new ReplicaWork(strategy, replica, model, batch / passCount, variables));
    }

    /// <summary>Goes on for so many steps.</summary>
    /// <param name="stepCount">How many.</param>
    /// <param name="meeting">Where each replica waits for others after every step; null: it waits for nobody.</param>
    /// <returns>Seconds.</returns>
    public double Run(int stepCount, Barrier? meeting = null)
    {
        long began = Stopwatch.GetTimestamp();
        _strategy.Run(replica =>
        {
            ReplicaWork work = _replicas[replica.LocalIndex];
            for (int i = 0; i < stepCount; i++)
            {
                work.Step(_passCount, 1f / (_passCount * replica.Count));
                meeting?.SignalAndWait();
            }
            replica.Stream.Synchronize();
        });
        return Stopwatch.GetElapsedTime(began).TotalSeconds;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (ReplicaWork work in _replicas) work.Dispose();
        _strategy.Dispose();
    }

    private sealed class ReplicaWork : IDisposable
    {
        private readonly ExecutionStream _stream;
        private readonly Module _model;
        private readonly ReplicaVariables _variables;
        private readonly Tensor _inputs, _labels;
        private ulong _step;

        internal ReplicaWork(Strategy strategy, Replica replica, string model, int samples, VariableOptions? options)
        {
            _stream = replica.Stream;
            _model = ModelCatalog.Create(model, new Shape(1, 28, 28), ClassCount);
            _model.Initialize(_stream, seed: 1);
            _variables = strategy.CreateVariables(replica, _model, parameters => new Sgd(parameters, momentum: 0.9f), options);
            Random random = new(replica.Index);
            _inputs = Tensor.From<float>(_stream, [.. Enumerable.Range(0, samples * 784).Select(_ => random.NextSingle())], new Shape(samples, 1, 28, 28));
            _labels = Tensor.From<int>(_stream, [.. Enumerable.Range(0, samples).Select(_ => random.Next(ClassCount))], new Shape(samples));
        }

        internal void Step(int passCount, float scale)
        {
            _variables.Gradients.Clear();
            for (int pass = 0; pass < passCount; pass++)
            {
                _variables.Begin(isLast: pass == passCount - 1);
                using GradientTape tape = new(_stream, TapeMode.Training, new StepContext(Seed: 1, _step));
                Variable loss = Losses.CrossEntropy(_model.Forward(tape.Input(_inputs)), _labels);
                tape.Backward(loss, _variables.Gradients, scale);
                _variables.End(tape);
            }
            // So small that it goes on for any number of steps; the work is the same.
            _variables.Update(_stream, learningRate: 1e-5f);
            _step++;
        }

        public void Dispose()
        {
            _stream.Synchronize();
            _inputs.Dispose();
            _labels.Dispose();
            _variables.Dispose();
            _model.Dispose();
        }
    }
}
