using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// The gradients of a list of parameters. Backward passes write into it and add to what is there until <see cref="Clear"/>; memory is
/// allocated at the first use and kept, or is the caller's (<see cref="Bind"/>). Parameters outside the list get no gradient.
/// Not thread-safe.
/// </summary>
public sealed class GradientStore : IDisposable
{
    private readonly Dictionary<Parameter, Slot> _slots = [];

    /// <param name="parameters">The parameters to collect gradients for; those with <see cref="Parameter.RequiresGradient"/> false are left out.</param>
    public GradientStore(IEnumerable<Parameter> parameters)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        Parameters = [.. parameters.Where(parameter => parameter.RequiresGradient)];
        foreach (Parameter parameter in Parameters) _slots.Add(parameter, new Slot());
    }

    /// <summary>
    /// Called once a backward pass for each parameter that got a gradient, as soon as that is complete: in the reverse order of the
    /// parameters' first uses. Its work must be enqueued on the tape's stream or wait for it.
    /// </summary>
    public event Action<Parameter, Tensor>? GradientReady;

    /// <summary>Asked for memory, by <see cref="Lend"/>, when a function is about to write a gradient that has none; null: the store allocates it.</summary>
    internal Action<Parameter>? Lender { get; set; }

    /// <summary>The parameters whose gradients are collected, in the order given.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>The parameters that no backward pass since <see cref="Clear"/> has reached.</summary>
    public IEnumerable<Parameter> ParametersWithoutGradient => Parameters.Where(parameter => !_slots[parameter].IsWritten);

    /// <summary>The gradient of a parameter, owned by the store, or null if there is none since <see cref="Clear"/>.</summary>
    /// <exception cref="ArgumentException">The parameter is not in the store's list.</exception>
    public Tensor? Of(Parameter parameter)
    {
        Slot slot = Find(parameter);
        return slot.IsWritten ? slot.Gradient : null;
    }

    /// <summary>Whether the parameter's gradient is collected.</summary>
    public bool Has(Parameter parameter) => _slots.ContainsKey(parameter);

    /// <summary>Has the parameter's gradient written to this tensor from now on, a view into a bucket for instance. The caller keeps ownership.</summary>
    /// <exception cref="ShapeException">It is not an f32 tensor of the parameter's shape.</exception>
    public void Bind(Parameter parameter, Tensor gradient)
    {
        ArgumentNullException.ThrowIfNull(gradient);
        Slot slot = Find(parameter);
        if (gradient.Shape != parameter.Shape || gradient.DType != DType.F32)
            throw new ShapeException($"bind: gradient of '{parameter.Name}' is {gradient.DType} {gradient.Shape}, expected {DType.F32} {parameter.Shape}");
        if (!slot.IsBound) slot.Gradient?.Dispose();
        (slot.Gradient, slot.IsBound, slot.IsWritten) = (gradient, true, false);
    }

    /// <summary>Forgets all gradients: the next backward pass overwrites. Frees no memory.</summary>
    public void Clear()
    {
        foreach (Slot slot in _slots.Values) slot.IsWritten = false;
    }

    /// <summary>
    /// For <see cref="Function.BackwardWeight"/>: where the gradient of a parameter belongs. The function overwrites it, or adds to it if
    /// <paramref name="accumulate"/>. False if nobody wants it.
    /// </summary>
    public bool TryTarget(ExecutionStream stream, Parameter parameter, out Tensor gradient, out bool accumulate)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        gradient = null!;
        accumulate = false;
        if (!_slots.TryGetValue(parameter, out Slot? slot)) return false;
        if (slot.Gradient is null) Lender?.Invoke(parameter);
        gradient = slot.Gradient ??= Tensor.Allocate(stream, parameter.Shape);
        accumulate = slot.IsWritten && !slot.IsFresh;
        slot.IsFresh = false;
        return slot.IsWritten = slot.IsReached = true;
    }

    /// <summary>Frees the gradients that the store owns.</summary>
    public void Dispose()
    {
        foreach (Slot slot in _slots.Values)
        {
            if (!slot.IsBound) slot.Gradient?.Dispose();
            slot.Gradient = null;
            slot.IsWritten = false;
        }
    }

    /// <summary>Gives a gradient memory of the caller's for a while: it is overwritten first, whatever passes have written before.</summary>
    internal void Lend(Parameter parameter, Tensor gradient)
    {
        Slot slot = Find(parameter);
        (slot.Gradient, slot.IsBound, slot.IsFresh) = (gradient, true, true);
    }

    /// <summary>Ends what <see cref="Lend"/> began; that the parameter was reached stays known.</summary>
    internal void TakeBack(Parameter parameter) => Find(parameter).Gradient = null;

    /// <summary>Counts the uses that a walk over these functions will meet, to know each parameter's last.</summary>
    internal void BeginWalk(List<Function> functions)
    {
        foreach (Slot slot in _slots.Values) (slot.UsesLeft, slot.IsReached) = (0, false);
        foreach (Function function in functions)
        {
            foreach (ParameterUse use in function.Parameters)
                if (_slots.TryGetValue(use.Parameter, out Slot? slot)) slot.UsesLeft++;
        }
    }

    /// <summary>A function of the walk is done, whether or not it gave gradients.</summary>
    internal void EndFunction(Function function)
    {
        foreach (ParameterUse use in function.Parameters)
        {
            if (!_slots.TryGetValue(use.Parameter, out Slot? slot) || --slot.UsesLeft > 0 || !slot.IsReached) continue;
            GradientReady?.Invoke(use.Parameter, slot.Gradient!);
        }
    }

    private Slot Find(Parameter parameter)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        return _slots.TryGetValue(parameter, out Slot? slot) ? slot
            : throw new ArgumentException($"parameter '{parameter.Name}' is not one of the {_slots.Count} parameters of this gradient store", nameof(parameter));
    }

    private sealed class Slot
    {
        public Tensor? Gradient;
        public bool IsBound;
        public bool IsWritten;
        public bool IsFresh;
        public bool IsReached;
        public int UsesLeft;
    }
}
