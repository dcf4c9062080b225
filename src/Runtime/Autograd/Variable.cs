using System.Runtime.InteropServices;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// A tensor on a <see cref="GradientTape"/>, which owns it. Its memory goes back to the pool as soon as the forward pass has let go of it
/// (<see cref="Release"/>) and no recorded function needs it for the backward pass; at the latest when the tape is disposed. On a tape of 16-bit
/// <see cref="GradientTape.Precision"/>, a value that the forward pass has let go of is stored rounded, and restored to f32 when the backward pass reads it.
/// </summary>
public sealed class Variable
{
    private readonly bool _isInput;
    private Tensor? _value;
    private ushort _saved;
    private Hold _hold = Hold.Forward;

    // On a tape of 16-bit precision. Where it has the value rounded, the value itself is gone, or restored from it.
    private StoredValue? _stored;

    // Gradients arrive one by one: _arrived was written last and is not yet added to _gradient. A shared gradient's memory is read by
    // others too and must not be written.
    private Tensor? _gradient;
    private bool _gradientIsShared;
    private Tensor? _arrived;
    private bool _arrivedIsShared;

    internal Variable(GradientTape tape, Tensor value, bool requiresGradient)
    {
        Tape = tape;
        _value = value;
        Shape = value.Shape;
        _isInput = requiresGradient;
    }

    private enum Hold : byte
    {
        None,
        Forward,
        Kept,
    }

    /// <summary>The tape it lives on.</summary>
    public GradientTape Tape { get; }

    /// <summary>The value's extents; known after its release too.</summary>
    public Shape Shape { get; }

    /// <summary>True if the backward pass computes a gradient for it.</summary>
    public bool RequiresGradient => Producer is not null || _isInput;

    /// <summary>The function whose output it is, if one was recorded.</summary>
    internal Function? Producer { get; set; }

    /// <summary>The value. Owned by the tape: do not dispose it.</summary>
    /// <exception cref="ObjectDisposedException">It was released, by its container module, by the backward pass or with the tape.</exception>
    public Tensor Value => _value ?? Restore() ?? throw new ObjectDisposedException($"Variable {Shape}",
        $"the value {Shape} was released; call Keep() on the variable to read it after a container's forward pass or after Backward");

    /// <summary>The gradient of an input of the tape that was made with <c>requiresGradient</c>, after the backward pass; else null. Owned by the tape.</summary>
    public Tensor? Gradient
    {
        get
        {
            Settle();
            return _gradient;
        }
    }

    /// <summary>Keeps the value until the tape is disposed.</summary>
    public Variable Keep()
    {
        ObjectDisposedException.ThrowIf(_value is null && Restore() is null, this);
        _hold = Hold.Kept;
        return this;
    }

    /// <summary>
    /// Says that the forward pass reads the value no more. Containers call it on what their children hand to one another; calling it is
    /// never needed, it only frees memory earlier. Does nothing after <see cref="Keep"/>.
    /// </summary>
    public void Release()
    {
        if (_hold == Hold.Forward) _hold = Hold.None;
        FreeIfUnused();
    }

    /// <summary>Takes the gradient out of the tape's ownership: the caller disposes it. For handing it to another pipeline stage.</summary>
    /// <exception cref="InvalidOperationException">There is none.</exception>
    public Tensor TakeGradient() =>
        TakeGradient(out _) ?? throw new InvalidOperationException($"the variable {Shape} got no gradient; make it with requiresGradient and run Backward first");

    internal Tensor? TakeGradient(out bool isShared)
    {
        Settle();
        Tensor? gradient = _gradient;
        isShared = _gradientIsShared;
        _gradient = null;
        _gradientIsShared = false;
        return gradient;
    }

    /// <summary>A tensor that the caller overwrites at once with one more contribution to the gradient.</summary>
    internal Tensor GradientTarget()
    {
        Settle();
        _arrivedIsShared = false;
        return _arrived = Tensor.Allocate(Tape.Stream, Shape);
    }

    /// <summary>As <see cref="GradientTarget()"/>, for kernels that can add: the gradient so far if it may be written, else a new tensor to overwrite.</summary>
    internal Tensor GradientTarget(out bool accumulate)
    {
        Settle();
        accumulate = _gradient is not null && !_gradientIsShared;
        return accumulate ? _gradient! : GradientTarget();
    }

    /// <summary>Takes a tensor over as one more contribution to the gradient.</summary>
    internal void AddGradient(Tensor gradient, bool isShared)
    {
        Settle();
        _arrived = gradient;
        _arrivedIsShared = isShared;
    }

    internal void RetainForBackward() => _saved++;

    internal void ReleaseFromBackward()
    {
        _saved--;
        FreeIfUnused();
        StoreAway();
    }

    /// <summary>The value is never rounded.</summary>
    internal void KeepExact()
    {
        if (Tape.StoresRounded) Stored.IsExact = true;
    }

    /// <summary>Tells that this is a view of another variable: the two are stored away together.</summary>
    internal void Views(Variable other)
    {
        if (!Tape.StoresRounded) return;
        Stored.Views = other.Stored.Views ??= [other];
        Stored.Views.Add(this);
    }

    /// <summary>
    /// The value as a factor of products, in as few bits as there are: the stored one is not restored for them. On GPUs it is rounded when it is first asked for, so that kernels read half the bytes.
    /// </summary>
    internal Tensor Operand
    {
        get
        {
            if (_stored?.Rounded is { } stored && (_value is null || Tape.ComputesRounded)) return stored;
            if (!Tape.ComputesRounded || Value.DType != DType.F32) return Value;
            using Tensor rounded = StoredValue.Round(Tape.Stream, Value, Tape.Precision.StorageType());
            Stored.Keep(rounded, Shape);
            return Stored.Rounded!;
        }
    }

    /// <summary>Gives a restored value up as long as it is stored.</summary>
    internal void StoreAway()
    {
        if (_stored is not { Rounded: not null, IsExact: false } || _hold == Hold.Kept) return;
        _value?.Dispose();
        _value = null;
    }

    /// <summary>Takes the value out, for a function that saved a tensor only to hand it on.</summary>
    internal Tensor TakeValue()
    {
        Tensor value = Value;
        _value = null;
        _stored?.Dispose();
        return value;
    }

    internal void Free()
    {
        _value?.Dispose();
        _stored?.Dispose();
        _gradient?.Dispose();
        _arrived?.Dispose();
        _value = _gradient = _arrived = null;
    }

    private StoredValue Stored => _stored ??= new StoredValue();

    private void FreeIfUnused()
    {
        if (_hold != Hold.None) return;
        if (_saved > 0)
        {
            if (_stored?.Rounded is not null) StoreAway();
            else if (Tape is { StoresRounded: true, IsForward: true }) TryStore();
            return;
        }
        _value?.Dispose();
        _value = null;
        _stored?.Dispose();
    }

    // Only where the memory comes free: the tape alone has it, and of all that view it none is read as it is any more.
    private void TryStore()
    {
        if (_value is not { DType: DType.F32 } value) return;
        Variable self = this;
        ReadOnlySpan<Variable> views = _stored?.Views is { } all ? CollectionsMarshal.AsSpan(all) : new ReadOnlySpan<Variable>(in self);
        int holders = 0;
        foreach (Variable view in views)
        {
            if (view._value is null) continue;
            if (view._hold != Hold.None || view._stored is { IsExact: true }) return;
            holders++;
        }
        if (value.Buffer.ReferenceCount != holders) return;
        using Tensor rounded = StoredValue.Round(Tape.Stream, value, Tape.Precision.StorageType());
        foreach (Variable view in views)
        {
            if (view._value is null) continue;
            view.Stored.Keep(rounded, view.Shape);
            view._value.Dispose();
            view._value = null;
        }
    }

    private Tensor? Restore() => _stored?.Rounded is null ? null : _value = _stored.Widen(Tape.Stream);

    private void Settle()
    {
        if (_arrived is null) return;
        if (_gradient is null)
        {
            (_gradient, _gradientIsShared) = (_arrived, _arrivedIsShared);
            _arrived = null;
            return;
        }
        if (_arrivedIsShared && _gradientIsShared)
        {
            Tensor sum = Tensor.Allocate(Tape.Stream, Shape);
            Sum(sum);
            _arrived.Dispose();
            _gradient.Dispose();
            _gradient = sum;
        }
        else if (_arrivedIsShared)
        {
            Sum(_gradient);
            _arrived.Dispose();
        }
        else
        {
            Sum(_arrived);
            _gradient.Dispose();
            _gradient = _arrived;
        }
        _gradientIsShared = false;
        _arrived = null;
    }

    private void Sum(Tensor output) => Elementwise.Add(Tape.Stream, output, _gradient!, _arrived!);
}
