using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>What a strategy's variables may be asked for.</summary>
public sealed record VariableOptions
{
    /// <summary>Scales the gradients of the whole batch down where their global norm is larger; null does not clip.</summary>
    public float? ClipNorm { get; init; }

    /// <summary>Scales losses up and gradients down, for f16; null does not.</summary>
    public LossScaling? LossScaling { get; init; }

    /// <summary>The same, where it can work.</summary>
    internal LossScaling? UsableLossScaling => LossScaling is null || Compression is not { KeepsState: true } compression ? LossScaling
        : throw new ArgumentException($"loss scaling with {compression.Name}, which keeps gradients from step to step: those of a step that overflows would stay, and scales change; use bf16 compression, or train with Precision.BFloat16");

    /// <summary>Bytes of a gradient bucket.</summary>
    public long BucketByteCount { get; init; } = BucketPlan.DefaultByteCount;

    /// <summary>Bytes of the first bucket.</summary>
    public long FirstBucketByteCount { get; init; } = BucketPlan.DefaultFirstByteCount;

    /// <summary>How gradients travel between replicas in fewer bytes; null: as they are.</summary>
    public GradientCompression? Compression { get; init; }

    /// <summary>
    /// Cuts each batch into this many shards, a power of two, that replicas compute one after another, and adds their gradients along one tree: then training gives the same bits on any
    /// number of replicas that is a power of two up to it. 0: a replica computes its part of a batch at once.
    /// </summary>
    public int VirtualShardCount { get; init; }

    /// <summary>
    /// Batch norm in training normalises by the statistics of the batch of all replicas, as one device would, and not by a replica's part of it. Replicas then meet in every pass: see
    /// <see cref="ReplicaVariables.MeetsInPasses"/>. With several passes a step the statistics are those of one pass of all replicas.
    /// </summary>
    public bool SynchronizesBatchNorm { get; init; }

    /// <summary>Compares all replicas' parameters bit by bit after every step. For finding errors: it reads everything back.</summary>
    public bool ChecksReplicas { get; init; }
}

/// <summary>
/// A model's parameters as one replica sees them under a strategy, with their gradients and optimizer. A step: clear <see cref="Gradients"/>; for each pass <see cref="Begin"/>, forward and
/// backward scaled by the samples' share of the whole batch times <see cref="LossScale"/>, <see cref="End"/>; then <see cref="Update"/>. Belongs to the replica's thread.
/// </summary>
public abstract class ReplicaVariables : IDisposable
{
    /// <param name="model">The replica's model.</param>
    /// <param name="optimizer">What makes new values of gradients.</param>
    /// <param name="shard">The replica's part of each batch.</param>
    /// <param name="trained">The model's parameters that get gradients; null: those that the optimizer has.</param>
    /// <param name="scaling">How losses are scaled; null: they are not.</param>
    private protected ReplicaVariables(Module model, Optimizer optimizer, BatchShard shard, IEnumerable<Parameter>? trained = null, LossScaling? scaling = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (scaling is not null) LossScaler = new LossScaler(scaling);
        (Model, Optimizer, Shard) = (model, optimizer, shard);
        Gradients = new GradientStore(trained ?? optimizer.Parameters);
    }

    /// <summary>The model; stays the caller's.</summary>
    public Module Model { get; }

    /// <summary>What makes new values of gradients on this replica.</summary>
    public Optimizer Optimizer { get; }

    /// <summary>This replica's gradients: of its own samples until <see cref="Update"/>.</summary>
    public GradientStore Gradients { get; }

    /// <summary>This replica's part of each batch.</summary>
    public BatchShard Shard { get; }

    /// <summary>Passes that a step must have on this replica, each over one virtual shard, an empty one too; 0: as many as one likes.</summary>
    public virtual int PassesPerStep => 0;

    /// <summary>
    /// Whether replicas exchange numbers within passes (synchronised batch norm). All must run as many passes a step then, forward and backward; a replica without samples runs them over none,
    /// on tensors of 0 rows.
    /// </summary>
    public virtual bool MeetsInPasses => false;

    /// <summary>Whether it is the first replica, which speaks for all.</summary>
    public bool IsFirst => Shard.Index == 0;

    /// <summary>The gradients' global norm before the last clipping, a scalar on the device; null without clipping.</summary>
    public abstract Tensor? GradientNorm { get; }

    /// <summary>Scales the loss; null: it stays as it is. All replicas' have the same state.</summary>
    public LossScaler? LossScaler { get; }

    /// <summary>What the losses of a step are multiplied by before their backward passes; 1 without loss scaling.</summary>
    public float LossScale => LossScaler?.Scale ?? 1;

    /// <summary>Begins a backward pass.</summary>
    /// <param name="isLast">False if another backward pass of the same step follows: nothing is sent until the last.</param>
    public abstract void Begin(bool isLast = true);

    /// <summary>Ends a pass: applies the changes of state that it put off, such as running statistics.</summary>
    /// <param name="tape">The pass's; null for a pass over no samples.</param>
    public virtual void End(GradientTape? tape) => tape?.ApplyStateUpdates();

    /// <summary>
    /// Ends a step: the gradients of all replicas make the parameters' new values, which this replica sees afterwards. With loss scaling, a step whose gradients overflow is left out on all
    /// replicas: parameters and optimizer stay as they are, the scale falls. Blocks as the strategy's collectives do.
    /// </summary>
    /// <param name="stream">The replica's stream.</param>
    /// <param name="learningRate">The step's rate.</param>
    /// <exception cref="CollectiveException">A peer was lost, or the replicas do not run the same program.</exception>
    /// <exception cref="LossScaleException">Gradients overflow at the smallest loss scale.</exception>
    public abstract void Update(ExecutionStream stream, float learningRate);

    /// <summary>Adds up numbers over all replicas, in place: losses, counts. Collective.</summary>
    public abstract void Sum(ExecutionStream stream, Span<double> numbers);

    /// <summary>
    /// Has the model hold all parameters' values, to be read and written, until the result is disposed. Where replicas keep only slices of them (<see cref="ShardedStrategy"/>, stage 3) they are there
    /// in passes only otherwise, and this is collective; else it does nothing.
    /// </summary>
    public virtual IDisposable Gather(ExecutionStream stream) => NothingGathered.Instance;

    /// <summary>Device memory that these variables take now.</summary>
    public virtual VariableMemory Memory => new(
        Model.Parameters().Sum(parameter => parameter.Value.ByteCount), Gradients.Parameters.Sum(parameter => Gradients.Of(parameter)?.ByteCount ?? 0), Optimizer.SaveState().Values.Sum(tensor => tensor.ByteCount));

    /// <summary>The stream of the device that the optimizer's state lies on.</summary>
    internal virtual ExecutionStream OptimizerStream(ExecutionStream stream) => stream;

    /// <summary>Whether steps are given out one by one to whoever is ready (asynchronous training), instead of all replicas doing each together.</summary>
    internal virtual bool TakesSteps => false;

    /// <summary>The step to do next.</summary>
    /// <param name="step">The step done last, then the one to do.</param>
    /// <param name="stepCount">Steps in all.</param>
    /// <returns>Whether there is one.</returns>
    internal virtual bool TryTakeStep(ref long step, long stepCount) => ++step < stepCount;

    /// <summary>This replica's part of what is measured.</summary>
    internal virtual BatchShard EvaluationShard => Shard;

    /// <summary>Has the model hold the newest values, where others change them.</summary>
    internal virtual void Refresh(ExecutionStream stream)
    {
    }

    /// <summary>Has whoever holds the variables save them, where that is not the trainer's work.</summary>
    /// <returns>Whether they were saved.</returns>
    internal virtual bool TrySave() => false;

    /// <summary>How gradients travel between replicas; null: as they are.</summary>
    internal virtual GradientCompression? Compression => null;

    /// <summary>Whether each replica saves a share of its own, instead of the first one everything.</summary>
    internal virtual bool SavesShares => Residuals.Count > 0;

    /// <summary>What this replica alone keeps back of its gradients from step to step, by parameter, a vector each; empty: nothing, on all replicas alike.</summary>
    internal virtual IReadOnlyDictionary<string, Tensor> Residuals => GradientBuckets.NoResiduals;

    /// <summary>What this replica would save now; what is the same on all is the first one's.</summary>
    internal virtual SavedState State() => IsFirst ? new(Model.SaveState(), Optimizer.SaveState(), Residuals: Residuals) : new(GradientBuckets.NoResiduals, GradientBuckets.NoResiduals, Residuals: Residuals);

    /// <summary>Loads whole tensors into the model. Called on all replicas alike.</summary>
    /// <exception cref="StateMismatchException">They are another model's.</exception>
    internal virtual void LoadModel(ExecutionStream stream, IReadOnlyDictionary<string, Tensor> state) => Model.LoadState(stream, state);

    /// <summary>Loads whole tensors of state into the optimizer, or the parts of them that it has.</summary>
    /// <exception cref="StateMismatchException">They are another optimizer's.</exception>
    internal virtual void LoadOptimizer(ExecutionStream stream, IReadOnlyDictionary<string, Tensor> state) => Optimizer.LoadState(OptimizerStream(stream), state);

    /// <summary>Takes over values that were loaded into the model from outside.</summary>
    internal virtual void OnLoaded(ExecutionStream stream)
    {
    }

    /// <summary>Makes sure that a model belongs to no variables: two would change it behind each other's back.</summary>
    internal static void CheckFree(Module model)
    {
        if (model.Parameters().FirstOrDefault(parameter => parameter.Owner is not null) is { } taken)
            throw new ArgumentException($"parameter '{taken.Name}' belongs to other variables already: dispose those first, or make a model for each replica and strategy", nameof(model));
    }

    /// <summary>Takes the model's parameters into these variables.</summary>
    internal void Claim()
    {
        foreach (Parameter parameter in Model.Parameters()) parameter.Owner = this;
    }

    /// <summary>The error for parameters that no sample's loss depends on.</summary>
    internal static InvalidOperationException Unreached(IReadOnlyCollection<string> names) =>
        new($"the loss does not depend on {names.Count} parameter(s): {string.Join(", ", names.Take(5))}{(names.Count > 5 ? ", ..." : "")}; leave them out of the optimizer or set RequiresGradient to false");

    /// <summary>Takes the loss scale out of the whole batch's gradients, which this replica has, and chooses the next.</summary>
    /// <returns>Whether the step may be taken.</returns>
    private protected bool TryUnscale(ExecutionStream stream, GradientStore gradients)
    {
        if (LossScaler is null) return true;
        int overflowed = LossScaler.Unscale(stream, gradients);
        return LossScaler.TryAdvance(overflowed < 0 ? null : gradients.Parameters[overflowed]);
    }

    /// <summary>Whether <see cref="CheckReached"/> was done.</summary>
    private protected bool IsReachChecked { get; private set; }

    /// <summary>Names the parameters that no replica had a gradient for in the first step. Collective, once.</summary>
    private protected void CheckReached(ExecutionStream stream, IReadOnlyList<Parameter> missing)
    {
        double[] reached = [.. Gradients.Parameters.Select(parameter => missing.Contains(parameter) ? 0.0 : 1)];
        Sum(stream, reached);
        string[] names = [.. Gradients.Parameters.Where((_, i) => reached[i] == 0).Select(parameter => parameter.Name)];
        IsReachChecked = names.Length == 0 ? true : throw Unreached(names);
    }

    /// <summary>Makes sure that an optimizer has parameters of the model only: others would not be the same on all replicas.</summary>
    internal static Optimizer Covered(Optimizer optimizer, IReadOnlyList<Parameter> parameters)
    {
        if (optimizer.Parameters.FirstOrDefault(parameter => !parameters.Contains(parameter)) is not { } foreign) return optimizer;
        optimizer.Dispose();
        throw new ArgumentException($"the optimizer has parameter '{foreign.Name}', which is not one of the {parameters.Count} that it was to be made of: they would not be kept the same on all replicas", nameof(optimizer));
    }

    /// <summary>Frees gradients and optimizer state.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        foreach (Parameter parameter in Model.Parameters().Where(parameter => parameter.Owner == this)) parameter.Owner = null;
        Dispose(true);
    }

    /// <summary>Frees what the strategy's variables own beyond gradients.</summary>
    private protected virtual void Dispose(bool disposing)
    {
        Gradients.Dispose();
        LossScaler?.Dispose();
    }

    private sealed class NothingGathered : IDisposable
    {
        internal static readonly NothingGathered Instance = new();

        public void Dispose()
        {
        }
    }
}
