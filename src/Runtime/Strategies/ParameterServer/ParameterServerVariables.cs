using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Variables that live on parameter servers: this worker pulls their values before it computes, and pushes gradients (and changes of state) without waiting for other workers. Gradients are
/// of this worker's samples alone; the servers' optimizer applies them.
/// </summary>
internal sealed class ParameterServerVariables : ReplicaVariables
{
    private readonly Part[] _parts;
    private readonly ParameterStore? _store;
    private readonly GradientClipping? _clipping;
    private readonly string[] _names;
    private readonly Action<string>? _say;
    private long _step = -1;
    private bool _isPulled, _mayDrift = true;

    internal ParameterServerVariables(Replica replica, Module model, Optimizer optimizer, IReadOnlyList<IParameterServer> servers, string worker, float? clipNorm, Action<string>? say)
        : base(model, optimizer, replica.Shard)
    {
        _store = servers[0] as ParameterStore;
        _names = [.. servers.Select((server, i) => server is ParameterStore ? $"parameter server {i}" : $"{server} ({i})")];
        _say = replica.IsFirst ? say : null;
        if (clipNorm is { } maxNorm) _clipping = new GradientClipping(Gradients, maxNorm);
        Dictionary<string, Parameter> parameters = model.Parameters().ToDictionary(parameter => parameter.Name);
        Dictionary<string, StateTensor> states = model.StateTensors().ToDictionary(state => state.Name);
        IReadOnlyList<VariableLayout> layouts = VariableLayout.Of(model).Divide(servers.Count);
        _parts = new Part[servers.Count];
        try
        {
            for (int i = 0; i < servers.Count; i++)
            {
                _parts[i] = new Part(Wait(servers[i].OpenAsync(worker, layouts[i])), parameters, states);
                _parts[i].ReadModel(replica.Stream);
                Wait(_parts[i].Session.InitializeAsync(_parts[i].Values));
            }
        }
        catch
        {
            Dispose(true);
            throw;
        }
    }

    public override Tensor? GradientNorm => _clipping?.Norm;

    internal override bool TakesSteps => true;

    internal override BatchShard EvaluationShard => BatchShard.Whole;

    /// <summary>Pulls the newest values unless that was done in this step.</summary>
    public override void Begin(bool isLast = true)
    {
        if (!_isPulled) Pull();
    }

    public override void Update(ExecutionStream stream, float learningRate)
    {
        _clipping?.Clip(stream);
        using ActivityScope measured = MeasuredActivity.VariablePush.Begin();
        foreach (Part part in _parts)
        {
            part.GatherChanges(stream, Gradients);
            PushResult result = Wait(part.Session.PushAsync(new GradientPush(part == _parts[0] ? _step : -1, part.Version, learningRate, part.Changes)));
            _mayDrift |= part.IsStepBack(result.Version);
            // The next version that holds it is the one to go on from.
            part.NewerThan = result.Outcome == PushOutcome.Collected ? part.Version : -1;
            // The first server decides for all whether a step counts.
            if (part == _parts[0] && result.Outcome == PushOutcome.Dropped) break;
        }
        Optimizer.StepCount++;
        (_isPulled, _step) = (false, -1);
    }

    public override void Sum(ExecutionStream stream, Span<double> numbers)
    {
    }

    internal override bool TryTakeStep(ref long step, long stepCount)
    {
        step = _step = Wait(_parts[0].Session.TakeStepAsync(stepCount));
        return step >= 0;
    }

    internal override void Refresh(ExecutionStream stream)
    {
        if (!_isPulled) Pull();
        _isPulled = false;
    }

    internal override bool TrySave()
    {
        _store?.Save();
        return _store is { SavesItself: true };
    }

    /// <summary>How the servers stand, one behind the other.</summary>
    internal IReadOnlyList<ParameterServerStatistics> ReadStatistics() => [.. _parts.Select(part => Wait(part.Session.ReadStatisticsAsync()))];

    /// <summary>Leaves the servers; a step that was taken is given to another worker. On the replica's thread.</summary>
    internal void Leave()
    {
        foreach (Part? part in _parts) part?.Session.Dispose();
    }

    private protected override void Dispose(bool disposing)
    {
        Leave();
        _clipping?.Dispose();
        Optimizer.Dispose();
        base.Dispose(disposing);
    }

    private void Pull()
    {
        using ActivityScope measured = MeasuredActivity.VariablePull.Begin();
        foreach (Part part in _parts)
        {
            part.Version = Wait(part.Session.PullAsync(part.Values, part.NewerThan));
            _mayDrift |= part.IsStepBack(part.Version);
            part.WriteModel(Stream(part));
        }
        if (_mayDrift) CompareServers();
        _isPulled = true;
    }

    // When this worker comes, and when a server was started again.
    private void CompareServers()
    {
        _mayDrift = false;
        if (_parts.Length == 1 || _say is null) return;
        IReadOnlyList<ParameterServerStatistics> statistics = ReadStatistics();
        foreach (string line in ServerDrift.Describe(_names, statistics[0].Version, statistics, Wait(_parts[0].Session.ReadStatisticsAsync()).Version)) _say(line);
    }

    private static ExecutionStream Stream(Part part) => part.Device.DefaultStream;

    // On the replica's own thread, which has nothing else to do.
    private static T Wait<T>(ValueTask<T> answer) => answer.IsCompletedSuccessfully ? answer.Result : answer.AsTask().GetAwaiter().GetResult();

    /// <summary>The variables of one server.</summary>
    private sealed class Part
    {
        private readonly (Parameter? Parameter, StateTensor? State, int Offset, int Count)[] _variables;
        private long _newest = -1;

        internal Part(IParameterSession session, Dictionary<string, Parameter> parameters, Dictionary<string, StateTensor> states)
        {
            Session = session;
            Values = GC.AllocateUninitializedArray<float>(checked((int)session.Layout.ElementCount));
            Changes = GC.AllocateUninitializedArray<float>(Values.Length);
            _variables = new (Parameter?, StateTensor?, int, int)[session.Layout.Variables.Count];
            int offset = 0;
            for (int i = 0; i < _variables.Length; i++)
            {
                StoredVariable variable = session.Layout.Variables[i];
                int count = (int)variable.Shape.ElementCount;
                _variables[i] = (parameters.GetValueOrDefault(variable.Name), states.GetValueOrDefault(variable.Name), offset, count);
                offset += count;
            }
        }

        internal IParameterSession Session { get; }

        /// <summary>What was pulled last.</summary>
        internal float[] Values { get; }

        /// <summary>What is pushed.</summary>
        internal float[] Changes { get; }

        /// <summary>Of <see cref="Values"/>.</summary>
        internal long Version { get; set; }

        /// <summary>The version that the next pull must be above.</summary>
        internal long NewerThan { get; set; } = -1;

        internal ComputeDevice Device => Tensor(0).Device;

        /// <summary>Whether the server tells an older version than it has told before: it was started again, from a snapshot.</summary>
        internal bool IsStepBack(long version)
        {
            bool isOlder = version < _newest;
            _newest = version;
            return isOlder;
        }

        internal void ReadModel(ExecutionStream stream)
        {
            for (int i = 0; i < _variables.Length; i++) Tensor(i).CopyTo(stream, Values.AsSpan(_variables[i].Offset, _variables[i].Count));
        }

        internal void WriteModel(ExecutionStream stream)
        {
            for (int i = 0; i < _variables.Length; i++)
            {
                Tensor(i).CopyFrom<float>(stream, Values.AsSpan(_variables[i].Offset, _variables[i].Count));
                _variables[i].Parameter?.MarkChanged();
            }
        }

        // Gradients of what is trained, differences of what passes have changed, zeros of what is frozen.
        internal void GatherChanges(ExecutionStream stream, GradientStore gradients)
        {
            foreach ((Parameter? parameter, StateTensor? state, int offset, int count) in _variables)
            {
                Span<float> changes = Changes.AsSpan(offset, count);
                if (state is not null)
                {
                    state.Value.CopyTo(stream, changes);
                    for (int i = 0; i < count; i++) changes[i] -= Values[offset + i];
                }
                else if (parameter is { RequiresGradient: true } && gradients.Has(parameter) && gradients.Of(parameter) is { } gradient)
                {
                    gradient.CopyTo(stream, changes);
                }
                else
                {
                    changes.Clear();
                }
            }
        }

        private Tensor Tensor(int variable) => _variables[variable].Parameter?.Value ?? _variables[variable].State!.Value;
    }
}
