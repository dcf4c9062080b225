using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Where loss scaling stands: with the steps and the optimizer's state what a run needs to go on exactly.</summary>
/// <param name="Scale">Of the next step.</param>
/// <param name="GoodStepCount">Steps without an overflow since the scale changed last.</param>
/// <param name="SkippedStepCount">Steps left out because gradients overflowed, in all.</param>
public sealed record LossScaleState(float Scale, int GoodStepCount, long SkippedStepCount);

/// <summary>
/// Dynamic loss scaling: the loss of every pass is multiplied by <see cref="Scale"/> before its backward pass; then <see cref="Unscale"/> divides the gradients of the whole batch, which are the same
/// on all replicas, and <see cref="TryAdvance"/> says whether the step may be taken and what the next scale is. Not thread-safe.
/// </summary>
public sealed class LossScaler : IDisposable
{
    private readonly LossScaling _scaling;
    private Tensor? _marks;
    private int[] _found = [];
    private int _goodStepCount;

    /// <param name="scaling">The rules.</param>
    /// <exception cref="ArgumentOutOfRangeException">One of them makes no sense.</exception>
    public LossScaler(LossScaling scaling)
    {
        ArgumentNullException.ThrowIfNull(scaling);
        scaling.Check();
        _scaling = scaling;
        Scale = scaling.InitialScale;
    }

    /// <summary>What the loss of the next pass is multiplied by.</summary>
    public float Scale { get; private set; }

    /// <summary>Steps left out because gradients overflowed.</summary>
    public long SkippedStepCount { get; private set; }

    /// <summary>What a checkpoint saves.</summary>
    public LossScaleState Save() => new(Scale, _goodStepCount, SkippedStepCount);

    /// <summary>Goes on from what was saved.</summary>
    /// <exception cref="ArgumentException">It is no state of a loss scale.</exception>
    public void Load(LossScaleState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (!(state.Scale > 0 && float.IsFinite(state.Scale)) || state.GoodStepCount < 0 || state.SkippedStepCount < 0) throw new ArgumentException($"not a state of loss scaling: {state}", nameof(state));
        (Scale, _goodStepCount, SkippedStepCount) = (state.Scale, state.GoodStepCount, state.SkippedStepCount);
    }

    /// <summary>Divides all gradients by the scale, in f32 and in place. Waits for the stream.</summary>
    /// <returns>The place in <see cref="GradientStore.Parameters"/> of the first whose gradient is not finite; -1 if all are.</returns>
    public int Unscale(ExecutionStream stream, GradientStore gradients)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        int count = gradients.Parameters.Count;
        if (count == 0) return -1;
        if (_found.Length != count)
        {
            _marks?.Dispose();
            (_marks, _found) = (Tensor.Allocate(stream, new Shape(count), DType.I32), new int[count]);
        }
        _marks!.Clear(stream);
        for (int i = 0; i < count; i++)
        {
            if (gradients.Of(gradients.Parameters[i]) is not { } gradient) continue;
            using Tensor mark = _marks.Slice(i, 1);
            GradientUnscale.Apply(stream, gradient, 1 / Scale, mark);
        }
        _marks.CopyTo<int>(stream, _found);
        return Array.FindIndex(_found, mark => mark != 0);
    }

    /// <summary>Ends a step: chooses the next scale.</summary>
    /// <param name="overflowed">The first parameter whose gradient is not finite; null: all are.</param>
    /// <returns>Whether the step may be taken: if not, parameters and optimizer stay as they are.</returns>
    /// <exception cref="LossScaleException">It overflowed at the smallest scale.</exception>
    public bool TryAdvance(Parameter? overflowed)
    {
        if (overflowed is null)
        {
            if (++_goodStepCount < _scaling.GrowthInterval) return true;
            _goodStepCount = 0;
            if (float.IsFinite(Scale * _scaling.GrowthFactor)) Scale *= _scaling.GrowthFactor;
            return true;
        }
        if (Scale <= _scaling.MinimumScale) throw new LossScaleException(Scale, overflowed.Name);
        Scale = Math.Max(_scaling.MinimumScale, Scale * _scaling.BackoffFactor);
        (_goodStepCount, SkippedStepCount) = (0, SkippedStepCount + 1);
        return false;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _marks?.Dispose();
        (_marks, _found) = (null, []);
    }
}
