using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Records the functions of one forward pass in order and walks them back. Owns all tensors made on it: disposing it, also after an
/// exception, returns their memory to the pool. Several tapes may live at once (micro-batches, stages); a tape is not thread-safe.
/// </summary>
public sealed class GradientTape : IDisposable
{
    private readonly List<Variable> _variables = new(32);
    private readonly List<Function> _functions = new(16);
    private List<IStateUpdate>? _stateUpdates;
    private Dictionary<(Tensor Value, long Version), Tensor>? _roundedParameters;
    private Progress _progress;
    private int? _sampleCount;

    /// <param name="stream">Where all work of the pass is enqueued.</param>
    /// <param name="mode">Whether functions are recorded and how modules behave.</param>
    /// <param name="context">Names the random numbers of the pass.</param>
    /// <param name="precision">What is kept for the backward pass is kept in: half of the memory in 16 bits.</param>
    public GradientTape(ExecutionStream stream, TapeMode mode = TapeMode.Training, StepContext context = default, Precision precision = Precision.Float32)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Precision = precision;
        // Refuses unknown ones.
        _ = precision.StorageType();
        Stream = stream;
        Mode = mode;
        Context = context;
    }

    private enum Progress
    {
        Forward,
        InputsDone,
        Done,
    }

    /// <summary>Where all work of the pass is enqueued.</summary>
    public ExecutionStream Stream { get; }

    /// <summary>What the pass is for.</summary>
    public TapeMode Mode { get; }

    /// <summary>Seed, step and first sample of the pass.</summary>
    public StepContext Context { get; }

    /// <summary>What activations that wait for the backward pass are stored in. Functions compute and accumulate in f32.</summary>
    public Precision Precision { get; }

    /// <summary>Samples of the pass: the rows of what was put on the tape first.</summary>
    internal int SampleCount => _sampleCount ?? 1;

    /// <summary>Whether that is less than f32.</summary>
    internal bool StoresRounded => Precision != Precision.Float32;

    /// <summary>Whether factors of products are rounded too: where kernels are bound by the bytes they read.</summary>
    internal bool ComputesRounded => StoresRounded && Stream.Device.Kind != DeviceKind.Cpu;

    /// <summary>Whether the backward pass is still to come: what is kept for it may be stored away.</summary>
    internal bool IsForward => _progress == Progress.Forward;

    /// <summary>True if modules are to behave as in training.</summary>
    public bool IsTraining => Mode == TapeMode.Training;

    /// <summary>Puts a tensor on the tape. The caller keeps its own reference and may dispose it at once.</summary>
    /// <param name="value">On the stream's device.</param>
    /// <param name="requiresGradient">True to have <see cref="Variable.Gradient"/> after the backward pass.</param>
    public Variable Input(Tensor value, bool requiresGradient = false)
    {
        ArgumentNullException.ThrowIfNull(value);
        if (value.Device != Stream.Device)
            throw new ArgumentException($"the input {value.Shape} lies on {value.Device.Name}, the tape's stream belongs to {Stream.Device.Name}; copy it there first");
        _sampleCount ??= value.Shape.DimensionCount == 0 ? 1 : value.Shape[0];
        return Add(value.Share(), requiresGradient && IsTraining);
    }

    /// <summary>For functions: a variable with undefined contents, to be written by a kernel. Freed with the tape at the latest.</summary>
    public Variable Allocate(Shape shape, DType dtype = DType.F32) => Add(Tensor.Allocate(Stream, shape, dtype), requiresGradient: false);

    /// <summary>For functions: a variable over a view, which the tape takes over.</summary>
    public Variable Adopt(Tensor view) => Add(view, requiresGradient: false);

    /// <summary>For functions: whether an operation on this operand has a backward pass to record.</summary>
    public bool Records(Variable operand) => IsTraining && operand.RequiresGradient;

    /// <inheritdoc cref="Records(Variable)"/>
    public bool Records(Parameter? operand) => IsTraining && operand is { RequiresGradient: true };

    /// <summary>For functions: records how <paramref name="output"/> came to be. Its gradient will be asked for.</summary>
    public Variable Record(Variable output, Function function)
    {
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(function);
        if (_progress != Progress.Forward) throw new InvalidOperationException("the backward pass of this tape has begun; record further functions on a new tape");
        function.Attach(output);
        output.Producer = function;
        _functions.Add(function);
        return output;
    }

    /// <summary>A parameter's value as a factor of products: on GPUs a working copy in 16 bits, made once a pass of the f32 value that the optimizer changes.</summary>
    internal Tensor Operand(in ParameterUse use)
    {
        if (!ComputesRounded) return use.Value;
        _roundedParameters ??= [];
        if (!_roundedParameters.TryGetValue((use.Value, use.Version), out Tensor? rounded))
            _roundedParameters.Add((use.Value, use.Version), rounded = StoredValue.Round(Stream, use.Value, Precision.StorageType()));
        return rounded;
    }

    /// <summary>For functions: puts off a change of module state, such as running statistics, to <see cref="ApplyStateUpdates"/>.</summary>
    public void Defer(IStateUpdate update) => (_stateUpdates ??= []).Add(update);

    /// <summary>
    /// The whole backward pass from a scalar loss: gradients of parameters are written or added to <paramref name="gradients"/>, saved
    /// memory is freed on the way. Once a tape. Enqueues and returns.
    /// </summary>
    /// <param name="loss">A variable of one element on this tape.</param>
    /// <param name="gradients">Receives the parameters' gradients.</param>
    /// <param name="scale">The gradient of what is minimised with respect to the loss: a micro-batch's share of the batch.</param>
    /// <exception cref="StaleParameterException">A parameter was changed in place since the forward pass.</exception>
    public void Backward(Variable loss, GradientStore gradients, float scale = 1)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        SeedLoss(loss, scale);
        Walk(gradients);
    }

    /// <summary>As above from an output whose gradient another stage computed; <paramref name="outputGradient"/> is only read and stays the caller's.</summary>
    public void Backward(Variable output, Tensor outputGradient, GradientStore gradients)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        SeedOutput(output, outputGradient);
        Walk(gradients);
    }

    /// <summary>The first half of the backward pass: gradients of variables only. <see cref="BackwardWeight"/> must follow, at any time.</summary>
    public void BackwardInput(Variable loss, float scale = 1)
    {
        SeedLoss(loss, scale);
        WalkInputs();
    }

    /// <inheritdoc cref="BackwardInput(Variable, float)"/>
    public void BackwardInput(Variable output, Tensor outputGradient)
    {
        SeedOutput(output, outputGradient);
        WalkInputs();
    }

    /// <summary>The second half: gradients of parameters, with the same bits as <see cref="Backward(Variable, GradientStore, float)"/> gives.</summary>
    public void BackwardWeight(GradientStore gradients)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        if (_progress != Progress.InputsDone) throw new InvalidOperationException("BackwardWeight comes once, after BackwardInput");
        using ActivityScope measured = MeasuredActivity.Backward.Begin();
        _progress = Progress.Done;
        gradients.BeginWalk(_functions);
        for (int i = _functions.Count - 1; i >= 0; i--) RunWeights(_functions[i], gradients);
        _functions.Clear();
    }

    /// <summary>Applies the deferred changes of module state, once, in the order of the forward pass. Call it at the end of a step.</summary>
    public void ApplyStateUpdates()
    {
        if (_stateUpdates is null) return;
        foreach (IStateUpdate update in _stateUpdates) update.Apply(Stream);
        _stateUpdates.Clear();
    }

    /// <summary>Frees everything on the tape.</summary>
    public void Dispose()
    {
        foreach (Function function in _functions) function.End();
        foreach (Variable variable in _variables) variable.Free();
        if (_roundedParameters is not null)
        {
            foreach (Tensor rounded in _roundedParameters.Values) rounded.Dispose();
            _roundedParameters = null;
        }
        _functions.Clear();
        _variables.Clear();
        _stateUpdates?.Clear();
        _progress = Progress.Done;
    }

    private Variable Add(Tensor value, bool requiresGradient)
    {
        Variable variable = new(this, value, requiresGradient);
        _variables.Add(variable);
        return variable;
    }

    private void SeedLoss(Variable loss, float scale)
    {
        CheckRoot(loss);
        if (loss.Shape.ElementCount != 1)
            throw new ShapeException($"backward: the loss has shape {loss.Shape}, expected one element; reduce it, or give the output's gradient");
        loss.Keep();
        // A loss's gradient was computed with it, so the scale needs no tensor.
        if (loss.Producer is LossFunction function) function.RootScale = scale;
        else loss.AddGradient(Tensor.From(Stream, [scale], loss.Shape), isShared: false);
    }

    private void SeedOutput(Variable output, Tensor outputGradient)
    {
        CheckRoot(output);
        ArgumentNullException.ThrowIfNull(outputGradient);
        if (outputGradient.Shape != output.Shape)
            throw new ShapeException($"backward: the output's gradient has shape {outputGradient.Shape}, expected {output.Shape}");
        output.Keep();
        output.AddGradient(outputGradient.Share(), isShared: true);
    }

    private void CheckRoot(Variable root)
    {
        ArgumentNullException.ThrowIfNull(root);
        if (root.Tape != this) throw new ArgumentException("the variable lives on another tape");
        if (_progress != Progress.Forward) throw new InvalidOperationException("this tape's backward pass was run already; a tape is for one");
        if (!root.RequiresGradient)
            throw new InvalidOperationException("backward: no recorded function leads to this variable; use a training tape, and inputs or parameters that require gradients");
    }

    private void Walk(GradientStore gradients)
    {
        using ActivityScope measured = MeasuredActivity.Backward.Begin();
        _progress = Progress.Done;
        gradients.BeginWalk(_functions);
        for (int i = _functions.Count - 1; i >= 0; i--)
        {
            RunInputs(_functions[i]);
            RunWeights(_functions[i], gradients);
        }
        _functions.Clear();
    }

    private void WalkInputs()
    {
        using ActivityScope measured = MeasuredActivity.Backward.Begin();
        _progress = Progress.InputsDone;
        for (int i = _functions.Count - 1; i >= 0; i--)
        {
            RunInputs(_functions[i]);
            _functions[i].StoreAway();
        }
    }

    private static void RunInputs(Function function)
    {
        if (function.TryBegin())
        {
            function.CheckVersions();
            function.BackwardInput();
        }
        if (!function.HasWeightsLeft) function.End();
    }

    private static void RunWeights(Function function, GradientStore gradients)
    {
        if (function.HasWeightsLeft)
        {
            function.CheckVersions();
            function.BackwardWeight(gradients);
            function.End();
        }
        gradients.EndFunction(function);
    }
}
