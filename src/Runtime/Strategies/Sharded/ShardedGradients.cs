using System.Diagnostics;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// The gradients of one rank, reduced and scattered unit by unit while backward runs: each rank gets the sums for the slices that it owns. Stage 1 keeps the memory of all gradients and sends with the
/// last pass of a step; from stage 2 on a unit's memory is taken from the pool when backward writes the first of its gradients and goes back with the reduction, every pass is sent, and its sums are
/// added to the owned slice (Rajbhandari et al. 2020, arXiv 1910.02054, section 5.2). Units start in the order of their numbers on every rank.
/// </summary>
internal sealed class ShardedGradients : IDisposable
{
    private const int LargestInFlightCount = 2;
    private readonly ExecutionStream _stream;
    private readonly ICommunicator _communicator;
    private readonly GradientStore _store;
    private readonly ShardedValues _values;
    private readonly UnitGradients[] _units;
    private readonly Dictionary<Parameter, UnitGradients> _unitOf = [];
    private readonly bool _keepsWhole;
    private bool _reduces, _isLaterPass;
    private int _started;

    internal ShardedGradients(ExecutionStream stream, ICommunicator communicator, GradientStore store, ShardedValues values, bool keepsWhole)
    {
        (_stream, _communicator, _store, _values, _keepsWhole) = (stream, communicator, store, values, keepsWhole);
        _units = [.. values.Units.Select(unit => new UnitGradients(stream, unit, communicator, keepsWhole))];
        foreach (UnitGradients unit in _units)
            foreach (Parameter parameter in unit.Values.Members) _unitOf.Add(parameter, unit);
        if (keepsWhole)
        {
            foreach (UnitGradients unit in _units) unit.Lend(_store);
        }
        else
        {
            store.Lender = parameter => Lend(_unitOf[parameter]);
        }
        store.GradientReady += OnReady;
    }

    /// <summary>The sums that this rank owns, by unit.</summary>
    internal IReadOnlyList<Tensor> Slices => [.. _units.Select(unit => unit.Slice)];

    /// <summary>Bytes that stay between steps.</summary>
    internal long ByteCount => _values.Units.Sum(unit => _keepsWhole ? unit.WholeByteCount : unit.Slice.ByteCount);

    /// <summary>The most bytes of whole units that backward had at once; 0 where all gradients have memory anyway.</summary>
    internal long PeakWholeByteCount { get; private set; }

    /// <summary>Starts a pass.</summary>
    internal void Begin(bool isLast)
    {
        (_reduces, _started) = (isLast || !_keepsWhole, 0);
        foreach (UnitGradients unit in _units) unit.Begin();
    }

    /// <summary>Ends a pass: what was not reached counts as zero, and the stream waits for all reductions. Collective where the pass is sent.</summary>
    internal void EndPass()
    {
        if (!_reduces) return;
        foreach (UnitGradients unit in _units.Skip(_started))
        {
            if (unit.IsReady) continue;
            Lend(unit);
            unit.ClearMissing(_stream, _store, _keepsWhole);
        }
        while (_started < _units.Length) StartNext();
        long asked = Stopwatch.GetTimestamp();
        foreach (UnitGradients unit in _units) unit.Finish(_stream);
        MeasuredActivity.CommunicationWait.Record(asked, Stopwatch.GetTimestamp());
        (_reduces, _isLaterPass) = (false, true);
    }

    /// <summary>Ends a step: the next pass begins anew.</summary>
    internal void EndStep() => _isLaterPass = false;

    public void Dispose()
    {
        _store.GradientReady -= OnReady;
        _store.Lender = null;
        foreach (UnitGradients unit in _units) unit.Dispose(_store);
    }

    private void Lend(UnitGradients unit)
    {
        if (_keepsWhole || unit.IsLent) return;
        // Backward may be faster than reductions: their memory must come back before more is taken. The unit of the lowest number was started first.
        foreach (UnitGradients late in _units.Where(late => late.IsInFlight).SkipLast(LargestInFlightCount - 1)) late.WaitInFlight();
        unit.Lend(_store, _stream);
        PeakWholeByteCount = Math.Max(PeakWholeByteCount, _units.Where(other => other.IsLent || other.IsInFlight).Sum(other => other.Values.WholeByteCount));
    }

    private void OnReady(Parameter parameter, Tensor gradient)
    {
        if (!_reduces || !_unitOf.TryGetValue(parameter, out UnitGradients? unit)) return;
        unit.MarkReady(parameter);
        while (_started < _units.Length && _units[_started].IsReady) StartNext();
    }

    private void StartNext()
    {
        UnitGradients unit = _units[_started++];
        unit.Start(_stream, _communicator, adds: _isLaterPass && !_keepsWhole);
        _values.Release(unit.Values);
        if (!_keepsWhole) unit.TakeBack(_store);
    }
}
