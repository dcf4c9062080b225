using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// The usual way to train under a strategy: makes a model, its variables and a <see cref="Trainer"/> on every replica of this process, and runs them together. Every process of the job does
/// the same. Owns models and variables.
/// </summary>
public sealed class StrategyTrainer : IDisposable
{
    private readonly Strategy _strategy;
    private readonly TrainerOptions _options;
    private readonly (Module Model, ReplicaVariables Variables)[] _replicas;

    /// <param name="strategy">Where to train; stays the caller's.</param>
    /// <param name="createModel">Makes and initialises the model on a replica's device. The first replica's values go to all.</param>
    /// <param name="createOptimizer">Makes the optimizer over parameters.</param>
    /// <param name="options">How long and at what rates.</param>
    /// <param name="variables">How gradients are put together; clips by the trainer's options where it does not say itself.</param>
    /// <exception cref="StateMismatchException">Replicas made different models.</exception>
    public StrategyTrainer(Strategy strategy, Func<Replica, Module> createModel, Func<IReadOnlyList<Parameter>, Optimizer> createOptimizer, TrainerOptions options, VariableOptions? variables = null)
    {
        ArgumentNullException.ThrowIfNull(strategy);
        ArgumentNullException.ThrowIfNull(createModel);
        ArgumentNullException.ThrowIfNull(createOptimizer);
        ArgumentNullException.ThrowIfNull(options);
        (_strategy, _options) = (strategy, options);
        VariableOptions chosen = variables ?? new VariableOptions();
        if (chosen.ClipNorm is null) chosen = chosen with { ClipNorm = options.ClipNorm };
        if (chosen.LossScaling is null) chosen = chosen with { LossScaling = options.UsedLossScaling };
        _replicas = new (Module, ReplicaVariables)[strategy.Replicas.Count];
        try
        {
            strategy.Run(replica =>
            {
                ref (Module Model, ReplicaVariables Variables) own = ref _replicas[replica.LocalIndex];
                own.Model = createModel(replica);
                own.Variables = strategy.CreateVariables(replica, own.Model, createOptimizer, chosen);
            });
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The model as the first replica of this process has it.</summary>
    public Module Model => _replicas[0].Model;

    /// <summary>Those of all replicas of this process.</summary>
    internal Module[] Models => [.. _replicas.Select(replica => replica.Model)];

    /// <summary>Its optimizer.</summary>
    public Optimizer Optimizer => _replicas[0].Variables.Optimizer;

    /// <summary>Trains to the end of the options' epochs or steps; see <see cref="Trainer.Train"/>.</summary>
    /// <param name="batches">Batches of all replicas together; each takes its part.</param>
    /// <param name="callbacks">Called for the first replica of all only, on its thread.</param>
    /// <param name="cancellation">Ends training between two steps, at once and without agreement: on several replicas nothing collective can follow. Must be asked for on all processes. <see cref="TrainerOptions.Preemption"/> ends it in order.</param>
    /// <returns>The result of the first replica of this process; under a parameter server with the samples of all its workers.</returns>
    public TrainingResult Train(IBatchSource batches, IReadOnlyList<ITrainingCallback>? callbacks = null, CancellationToken cancellation = default)
    {
        TrainingResult[] results = _strategy.Run(replica =>
        {
            using Trainer trainer = new(_replicas[replica.LocalIndex].Variables, _options);
            return trainer.Train(replica.Stream, batches, replica.IsFirst ? callbacks : null, cancellation);
        });
        return _replicas[0].Variables.TakesSteps ? results[0] with { SampleCount = results.Sum(result => result.SampleCount) } : results[0];
    }

    /// <summary>Measures on all replicas together, under a parameter server on the first one of this process; see <see cref="Evaluator"/>.</summary>
    public EvaluationResult Evaluate(IBatchSource batches, CancellationToken cancellation = default) => _strategy.Run(replica =>
    {
        ReplicaVariables variables = _replicas[replica.LocalIndex].Variables;
        return replica.LocalIndex > 0 && variables.TakesSteps ? null : Evaluator.Evaluate(replica.Stream, variables, batches, _options.IgnoreIndex ?? CrossEntropyOptions.DefaultIgnoreIndex, cancellation);
    })[0]!;

    /// <summary>The model's output for every sample, computed on all replicas together; see <see cref="Predictor"/>.</summary>
    public Predictions Predict(IBatchSource batches, CancellationToken cancellation = default) =>
        _strategy.Run(replica => Predictor.Predict(replica.Stream, _replicas[replica.LocalIndex].Variables, batches, cancellation))[0];

    /// <summary>Has the models of this process's replicas hold all values until the result is disposed; see <see cref="ReplicaVariables.Gather"/>. All processes must call it.</summary>
    public IDisposable Gather() => new GatheredReplicas(_strategy, _strategy.Run(replica => _replicas[replica.LocalIndex].Variables.Gather(replica.Stream)));

    /// <inheritdoc/>
    public void Dispose()
    {
        // Where a replica failed, others may not have got as far.
        foreach ((Module? model, ReplicaVariables? variables) in _replicas)
        {
            variables?.Dispose();
            model?.Dispose();
        }
    }

    private sealed class GatheredReplicas(Strategy strategy, IDisposable[] replicas) : IDisposable
    {
        public void Dispose() => strategy.Run(replica => replicas[replica.LocalIndex].Dispose());
    }
}
