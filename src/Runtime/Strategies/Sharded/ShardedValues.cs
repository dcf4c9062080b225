using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// The values of a model's trained parameters on one rank. Either they are whole on every rank (stages 1 and 2), or each keeps its slices and fetches a unit when a pass asks for one of its
/// parameters (stage 3): the unit asked for before and the one that comes next are here too, so a function may use parameters of two units at once. Passes ask in the same order on all ranks, which
/// therefore meet in the same gathers.
/// </summary>
internal sealed class ShardedValues : IParameterSource, IDisposable
{
    private readonly ExecutionStream _stream;
    private readonly ICommunicator _communicator;
    private readonly Dictionary<Parameter, (ShardUnit Unit, int Member)> _places = [];
    private readonly bool _areSharded;
    private ShardUnit? _recent;
    private bool _isInPass;
    private int _holdCount, _lastIndex;

    /// <summary>Takes the values over from the parameters, which must be the same on all ranks.</summary>
    internal ShardedValues(ExecutionStream stream, ICommunicator communicator, ShardLayout layout, IReadOnlyList<Parameter> parameters, bool areSharded)
    {
        (_stream, _communicator, _areSharded) = (stream, communicator, areSharded);
        ShardUnit[] units = new ShardUnit[layout.Units.Count];
        for (int u = 0; u < units.Length; u++)
        {
            ShardUnit unit = units[u] = new ShardUnit(stream, layout.Units[u], u, parameters, communicator.Rank, communicator.WorldSize, keepsWhole: !areSharded);
            for (int i = 0; i < unit.Members.Count; i++)
            {
                Parameter parameter = unit.Members[i];
                _places.Add(parameter, (unit, i));
                parameter.Free();
                if (areSharded) parameter.Source = this;
                else parameter.Value = unit.Value(i).Share();
            }
            if (areSharded) unit.Release();
        }
        Units = units;
    }

    /// <summary>In the order in which backward completes them.</summary>
    internal IReadOnlyList<ShardUnit> Units { get; }

    /// <summary>The most bytes of gathered units that were here at once in a pass; 0 where values are whole anyway.</summary>
    internal long PeakGatheredByteCount { get; private set; }

    /// <summary>Bytes that stay between steps.</summary>
    internal long ByteCount => Units.Sum(unit => _areSharded ? unit.Slice.ByteCount : unit.WholeByteCount);

    Tensor IParameterSource.ValueOf(Parameter parameter)
    {
        (ShardUnit unit, int member) = _places[parameter];
        if (_holdCount == 0)
        {
            if (!_isInPass) throw new InvalidOperationException($"parameter '{parameter.Name}' is divided among {_communicator.WorldSize} replicas: its value is there in passes, and while ReplicaVariables.Gather holds it on all of them");
            if (unit != _recent) Fetch(unit);
        }
        return unit.Value(member);
    }

    /// <summary>From here on values are fetched when a function asks.</summary>
    internal void BeginPass() => (_isInPass, _lastIndex) = (_areSharded, Units.Count);

    /// <summary>Gives fetched values up.</summary>
    internal void EndPass()
    {
        _isInPass = false;
        if (_areSharded && _holdCount == 0) ReleaseAll();
    }

    /// <summary>A unit's gradients are complete: nobody asks for its values any more.</summary>
    internal void Release(ShardUnit unit)
    {
        if (!_areSharded || _holdCount > 0) return;
        unit.Release();
        if (_recent == unit) _recent = null;
    }

    /// <summary>After an optimizer step on the slices: every rank that keeps whole values gets those of the others. Collective.</summary>
    internal void Spread()
    {
        if (_areSharded) return;
        foreach (ShardUnit unit in Units) unit.StartSpread(_stream, _communicator);
        foreach (ShardUnit unit in Units) unit.Finish(_stream);
    }

    /// <summary>Makes all values whole on every rank, to be read and written, until the result is disposed; what was written to them is kept. Collective.</summary>
    internal IDisposable Hold()
    {
        if (_areSharded && _holdCount == 0)
        {
            foreach (ShardUnit unit in Units) unit.StartGather(_stream, _communicator);
            foreach (ShardUnit unit in Units) unit.Finish(_stream);
        }
        _holdCount++;
        return new Scope(this);
    }

    /// <summary>Parameters that were divided are without value afterwards.</summary>
    public void Dispose()
    {
        foreach (Parameter parameter in _places.Keys.Where(parameter => parameter.Source == this)) parameter.Source = null;
        foreach (ShardUnit unit in Units) unit.Dispose();
    }

    // Passes go to lower numbers forward and to higher ones back: the next is on the other side of the one before.
    private void Fetch(ShardUnit unit)
    {
        int nextIndex = unit.Index + (unit.Index > _lastIndex ? 1 : -1);
        ShardUnit? next = nextIndex >= 0 && nextIndex < Units.Count ? Units[nextIndex] : null;
        _lastIndex = unit.Index;
        foreach (ShardUnit other in Units)
        {
            if (other != unit && other != _recent && other != next) other.Release();
        }
        unit.StartGather(_stream, _communicator);
        next?.StartGather(_stream, _communicator);
        unit.Finish(_stream);
        _recent = unit;
        PeakGatheredByteCount = Math.Max(PeakGatheredByteCount, Units.Where(other => other.IsWhole).Sum(other => other.WholeByteCount));
    }

    private void EndHold()
    {
        if (--_holdCount > 0 || !_areSharded) return;
        foreach (ShardUnit unit in Units) unit.TakeSlice(_stream, _communicator.Rank);
        if (!_isInPass) ReleaseAll();
    }

    private void ReleaseAll()
    {
        foreach (ShardUnit unit in Units) unit.Release();
        _recent = null;
    }

    private sealed class Scope(ShardedValues values) : IDisposable
    {
        private bool _isDisposed;

        public void Dispose()
        {
            if (!_isDisposed) values.EndHold();
            _isDisposed = true;
        }
    }
}
