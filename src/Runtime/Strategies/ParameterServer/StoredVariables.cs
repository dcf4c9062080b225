using System.Numerics;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A server's variables with their optimizer and the gradients collected for the next update. Not thread-safe.</summary>
internal sealed class StoredVariables : IDisposable
{
    private readonly ExecutionStream _stream;
    private readonly StoredModel _model;
    private readonly GradientStore _gradients;
    private readonly Tensor _collected;
    private readonly Tensor[] _views;
    private bool _isEmpty = true;
    private float _learningRate;

    internal StoredVariables(CpuDevice host, VariableLayout layout, Func<IReadOnlyList<Parameter>, Optimizer> optimizer)
    {
        (_stream, Layout) = (host.DefaultStream, layout);
        _model = new StoredModel(_stream, layout);
        Optimizer = ReplicaVariables.Covered(optimizer(_model.InOrder), _model.InOrder);
        _gradients = new GradientStore(_model.InOrder);
        _collected = Tensor.Allocate(_stream, new Shape(checked((int)layout.ElementCount)));
        _views = new Tensor[layout.Variables.Count];
        int offset = 0, parameter = 0;
        for (int i = 0; i < _views.Length; i++)
        {
            StoredVariable variable = layout.Variables[i];
            using Tensor flat = _collected.Slice(offset, (int)variable.Shape.ElementCount);
            _views[i] = flat.Reshape(variable.Shape);
            if (!variable.IsState) _gradients.Bind(_model.InOrder[parameter++], _views[i]);
            offset += (int)variable.Shape.ElementCount;
        }
    }

    internal VariableLayout Layout { get; }

    internal Module Model => _model;

    internal Optimizer Optimizer { get; }

    internal ExecutionStream Stream => _stream;

    /// <summary>Updates applied.</summary>
    internal long Version => Optimizer.StepCount;

    /// <summary>Whether somebody has given first values.</summary>
    internal bool IsInitialized { get; private set; }

    internal void Initialize(ReadOnlySpan<float> values)
    {
        int offset = 0;
        foreach (Tensor value in _model.Values)
        {
            values.Slice(offset, (int)value.ElementCount).CopyTo(value.AsSpan<float>());
            offset += (int)value.ElementCount;
        }
        MarkInitialized();
    }

    internal void MarkInitialized() => IsInitialized = true;

    internal void CopyTo(Span<float> values)
    {
        int offset = 0;
        foreach (Tensor value in _model.Values)
        {
            value.AsSpan<float>().CopyTo(values[offset..]);
            offset += (int)value.ElementCount;
        }
    }

    /// <summary>Adds a push to the next update; the rate of the first one counts.</summary>
    internal void Collect(ReadOnlySpan<float> values, float learningRate)
    {
        Span<float> sum = _collected.AsSpan<float>();
        if (_isEmpty)
        {
            values.CopyTo(sum);
            _learningRate = learningRate;
        }
        else
        {
            Add(values, sum);
        }
        _isEmpty = false;
    }

    /// <summary>Makes the next version of what was collected.</summary>
    internal void Apply(int pushCount)
    {
        if (pushCount > 1) Elementwise.Scale(_stream, _collected, _collected, 1f / pushCount);
        _gradients.Clear();
        foreach (Parameter parameter in _gradients.Parameters) _gradients.TryTarget(_stream, parameter, out _, out _);
        Optimizer.Step(_stream, _gradients, _learningRate);
        for (int i = 0; i < _views.Length; i++)
            if (Layout.Variables[i].IsState) Elementwise.Add(_stream, _model.Values[i], _model.Values[i], _views[i]);
        _isEmpty = true;
    }

    private static void Add(ReadOnlySpan<float> values, Span<float> sum)
    {
        int i = 0;
        for (; i <= sum.Length - Vector<float>.Count; i += Vector<float>.Count) (new Vector<float>(sum[i..]) + new Vector<float>(values[i..])).CopyTo(sum[i..]);
        for (; i < sum.Length; i++) sum[i] += values[i];
    }

    public void Dispose()
    {
        _gradients.Dispose();
        foreach (Tensor view in _views) view.Dispose();
        _collected.Dispose();
        Optimizer.Dispose();
        _model.Dispose();
    }
}
