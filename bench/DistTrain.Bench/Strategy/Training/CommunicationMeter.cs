using System.Diagnostics.Metrics;

namespace DistTrain.Bench;

/// <summary>What the first replica's gradient reductions took, and what backward did not hide of it, as the meter <c>DistTrain</c> tells any listener.</summary>
public sealed class CommunicationMeter : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly Lock _lock = new();
    private double _reduction, _exposed;

    /// <summary>Begins to listen.</summary>
    public CommunicationMeter()
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument is { Meter.Name: "DistTrain", Name: "disttrain.communication" or "disttrain.communication_wait" }) listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<double>(Add);
        _listener.Start();
    }

    /// <summary>Seconds since the last call: in reductions, each by itself, and waiting for them.</summary>
    public (double Reduction, double Exposed) Take()
    {
        lock (_lock)
        {
            (double Reduction, double Exposed) taken = (_reduction, _exposed);
            (_reduction, _exposed) = (0, 0);
            return taken;
        }
    }

    /// <summary>Ends listening.</summary>
    public void Dispose() => _listener.Dispose();

    private void Add(Instrument instrument, double seconds, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state)
    {
        if (tags is not [{ Key: "replica", Value: 0 }]) return;
        lock (_lock)
        {
            if (instrument.Name == "disttrain.communication") _reduction += seconds;
            else _exposed += seconds;
        }
    }
}
