using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// One recorded operation: what its backward pass needs, and the backward pass itself, in two parts. <see cref="BackwardInput"/> gives
/// the gradients of the variables it was applied to, <see cref="BackwardWeight"/> those of parameters; schedules may run the second
/// much later (Qi et al. 2023, "Zero Bubble Pipeline Parallelism", arXiv 2401.10241, section 2).
/// A derived class has a static <c>Apply</c> that computes the output with kernels and calls <see cref="GradientTape.Record"/>.
/// </summary>
public abstract class Function
{
    private readonly List<Variable> _saved = new(3);
    private readonly List<ParameterUse> _parameters = [];
    private Variable? _output;
    private Tensor? _outputGradient;
    private bool _outputGradientIsShared;
    private Tensor? _retiredGradient;
    private bool _isReached;

    /// <summary>The parameters whose gradients <see cref="BackwardWeight"/> gives.</summary>
    internal List<ParameterUse> Parameters => _parameters;

    /// <summary>The result of the forward pass.</summary>
    protected Variable Output => _output!;

    /// <summary>The tape's stream.</summary>
    protected ExecutionStream Stream => Output.Tape.Stream;

    /// <summary>The gradient of the output. Other functions may read its memory: write to it only through <see cref="RewriteOutputGradient"/>.</summary>
    protected Tensor OutputGradient => _outputGradient ?? throw new InvalidOperationException($"{GetType().Name} handed its output's gradient on already");

    /// <summary>Gives every variable saved as an input that requires one its gradient, by <see cref="Target(Variable)"/> or a Pass method.</summary>
    protected internal abstract void BackwardInput();

    /// <summary>Writes or adds the gradients of the parameters used. Runs after <see cref="BackwardInput"/>.</summary>
    protected internal virtual void BackwardWeight(GradientStore gradients)
    {
    }

    /// <summary>Keeps a variable's value until the backward pass of this function is done; rounded to the tape's <see cref="GradientTape.Precision"/>.</summary>
    protected Variable Save(Variable variable)
    {
        ArgumentNullException.ThrowIfNull(variable);
        variable.RetainForBackward();
        _saved.Add(variable);
        return variable;
    }

    /// <summary>As <see cref="Save"/> in any precision without rounding: probabilities, statistics, what is compared with other values.</summary>
    protected Variable SaveExactly(Variable variable)
    {
        Save(variable).KeepExact();
        return variable;
    }

    /// <summary>As <see cref="SaveExactly"/> for a variable that only this function will read: the forward pass lets go of it.</summary>
    protected Variable SaveAlone(Variable variable)
    {
        SaveExactly(variable).Release();
        return variable;
    }

    /// <summary>Remembers a parameter with the version of its value, so that a change before the backward pass is noticed.</summary>
    protected ParameterUse Use(Parameter parameter)
    {
        ParameterUse use = new(parameter);
        _parameters.Add(use);
        return use;
    }

    /// <summary>A tensor of the input's shape, to be overwritten at once with this function's part of its gradient.</summary>
    protected static Tensor Target(Variable input) => input.GradientTarget();

    /// <summary>As <see cref="Target(Variable)"/> for kernels that can add: overwrite the tensor, or add to it if <paramref name="accumulate"/>.</summary>
    protected static Tensor Target(Variable input, out bool accumulate) => input.GradientTarget(out accumulate);

    /// <summary>
    /// A target that is the output gradient's own memory where nobody else reads that: for kernels that may work in place. The output
    /// gradient is gone afterwards; <paramref name="outputGradient"/> is valid until this function's backward pass ends.
    /// </summary>
    protected Tensor TargetInPlace(Variable input, out Tensor outputGradient)
    {
        outputGradient = OutputGradient;
        if (_outputGradientIsShared || input.Shape != Output.Shape) return Target(input);
        input.AddGradient(outputGradient, isShared: false);
        _outputGradient = null;
        return outputGradient;
    }

    /// <summary>The output gradient itself, under the input's shape, is the input's gradient: nothing is copied. Once a function.</summary>
    protected void PassOutputGradient(Variable input)
    {
        Tensor gradient = OutputGradient;
        if (gradient.Shape != input.Shape)
        {
            Tensor view = gradient.Reshape(input.Shape);
            gradient.Dispose();
            gradient = view;
        }
        _outputGradient = null;
        input.AddGradient(gradient, _outputGradientIsShared);
    }

    /// <summary>As <see cref="PassOutputGradient"/>, where the output gradient is needed further on.</summary>
    protected void ShareOutputGradient(Variable input)
    {
        _outputGradientIsShared = true;
        input.AddGradient(OutputGradient.Reshape(input.Shape), isShared: true);
    }

    /// <summary>A scratch variable's value, computed by the caller, becomes part of the input's gradient; if nobody wants it, it is freed.</summary>
    protected static void Give(Variable input, Variable gradient)
    {
        ArgumentNullException.ThrowIfNull(gradient);
        if (input.RequiresGradient) input.AddGradient(gradient.TakeValue(), isShared: false);
        else gradient.Release();
    }

    /// <summary>
    /// A tensor to overwrite with a function of <paramref name="old"/>, element by element; it is the <see cref="OutputGradient"/> from
    /// then on. For functions that end in an activation: both parts of their backward pass need the gradient before it.
    /// </summary>
    protected Tensor RewriteOutputGradient(out Tensor old)
    {
        old = OutputGradient;
        if (!_outputGradientIsShared) return old;
        _retiredGradient = old;
        _outputGradient = Tensor.Allocate(Stream, old.Shape);
        _outputGradientIsShared = false;
        return _outputGradient;
    }

    /// <summary>Writes or adds a gradient that was computed elsewhere.</summary>
    protected void Put(Tensor gradient, Tensor target, bool accumulate)
    {
        ArgumentNullException.ThrowIfNull(gradient);
        ArgumentNullException.ThrowIfNull(target);
        if (accumulate) Elementwise.Add(Stream, target, target, gradient);
        else gradient.CopyTo(Stream, target);
    }

    internal void Attach(Variable output) => _output = output;

    /// <summary>True between the two parts of the backward pass, if the second has anything to do.</summary>
    internal bool HasWeightsLeft => _isReached && _parameters.Count > 0;

    /// <summary>Fetches the output's gradient; false if none arrived, so that there is nothing to do.</summary>
    internal bool TryBegin()
    {
        _outputGradient = Output.TakeGradient(out _outputGradientIsShared);
        // Nothing later on the tape reads the output now.
        Output.Release();
        return _isReached = _outputGradient is not null || this is LossFunction { RootScale: not null };
    }

    /// <summary>Between the two parts of the backward pass: what was restored for the first is let go of until the second asks again.</summary>
    internal void StoreAway()
    {
        foreach (Variable variable in _saved) variable.StoreAway();
    }

    /// <summary>Gives the saved memory up.</summary>
    internal void End()
    {
        _outputGradient?.Dispose();
        _retiredGradient?.Dispose();
        _outputGradient = _retiredGradient = null;
        _isReached = false;
        foreach (Variable variable in _saved) variable.ReleaseFromBackward();
        _saved.Clear();
    }

    internal void CheckVersions()
    {
        foreach (ParameterUse use in _parameters) use.Check(this);
    }
}
