using DistTrain.Ingest;

namespace DistTrain.Runtime;

/// <summary>
/// Writes curves that TensorBoard shows: an event file (<c>events.out.tfevents.*</c>, TFRecord framing around <c>tensorflow.Event</c> messages; tensorflow/core/util/event.proto
/// and framework/summary.proto). One file for each writer, so that a resumed run adds a file to the same folder. Thread-safe. Writing goes to a buffer
/// that is flushed at least every <c>flushInterval</c> while values come.
/// </summary>
public sealed class TensorBoardWriter : IDisposable
{
    private const int EventWallTime = 1, EventStep = 2, EventFileVersion = 3, EventSummary = 5, SummaryValue = 1, ValueTag = 1, ValueSimpleValue = 2;
    private const string FileVersion = "brain.Event:2";
    private static int s_fileCount;

    private readonly Lock _lock = new();
    private readonly TFRecordWriter _records;
    private readonly TimeProvider _time;
    private readonly TimeSpan _flushInterval;
    private readonly ProtobufBuffer _event = new(), _summary = new(), _value = new();
    private long _flushed;
    private bool _isDisposed;

    /// <summary>Makes the folder, if need be, and a new event file in it.</summary>
    /// <param name="folder">A run's folder; TensorBoard names the run after it.</param>
    /// <param name="flushInterval">How long values may stay in the buffer. Null: two seconds.</param>
    /// <param name="time">The clock. Null: the system's.</param>
    /// <exception cref="IOException">The file can't be made.</exception>
    public TensorBoardWriter(string folder, TimeSpan? flushInterval = null, TimeProvider? time = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        _time = time ?? TimeProvider.System;
        _flushInterval = flushInterval ?? TimeSpan.FromSeconds(2);
        Directory.CreateDirectory(folder);
        int number = Interlocked.Increment(ref s_fileCount) - 1;
        Path = System.IO.Path.Combine(folder,
            $"events.out.tfevents.{_time.GetUtcNow().ToUnixTimeSeconds():D10}.{Environment.MachineName}.{Environment.ProcessId}.{number}");
        _records = new TFRecordWriter(new FileStream(Path, FileMode.CreateNew, FileAccess.Write, FileShare.Read, 1 << 14));
        BeginEvent();
        _event.String(EventFileVersion, FileVersion);
        _records.Write(_event.Written);
        Flush();
    }

    /// <summary>The event file.</summary>
    public string Path { get; }

    /// <summary>Adds one point to the curve <paramref name="tag"/>.</summary>
    /// <param name="tag">The curve; slashes group curves: <c>train/loss</c>.</param>
    /// <param name="step">The point's place: the training step.</param>
    /// <param name="value">Any value; TensorBoard marks NaN and infinities.</param>
    public void WriteScalar(string tag, long step, float value) => WriteScalars(step, (tag, value));

    /// <summary>Adds one point to each of several curves, in one event.</summary>
    /// <param name="step">The points' place: the training step.</param>
    /// <param name="scalars">Curves and values.</param>
    public void WriteScalars(long step, params ReadOnlySpan<(string Tag, float Value)> scalars)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            _summary.Clear();
            foreach ((string tag, float value) in scalars)
            {
                ArgumentException.ThrowIfNullOrEmpty(tag, nameof(scalars));
                _value.Clear();
                _value.String(ValueTag, tag);
                _value.Float(ValueSimpleValue, value);
                _summary.Message(SummaryValue, _value);
            }
            BeginEvent();
            _event.Int64(EventStep, step);
            _event.Message(EventSummary, _summary);
            _records.Write(_event.Written);
            if (_time.GetElapsedTime(_flushed) >= _flushInterval) Flush();
        }
    }

    /// <summary>Hands everything written so far to the operating system, where TensorBoard sees it.</summary>
    public void Flush()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            _records.Flush();
            _flushed = _time.GetTimestamp();
        }
    }

    /// <summary>Flushes and closes the file.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_isDisposed) return;
            _isDisposed = true;
            _records.Dispose();
        }
    }

    private void BeginEvent()
    {
        _event.Clear();
        _event.Double(EventWallTime, (_time.GetUtcNow() - DateTimeOffset.UnixEpoch).TotalSeconds);
    }
}
