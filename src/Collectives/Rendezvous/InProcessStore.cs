using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Collectives;

/// <summary>A rendezvous store in the memory of one process, for replicas that are threads of it. Disposing it ends all waits with <see cref="ObjectDisposedException"/>.</summary>
public sealed class InProcessStore : IRendezvousStore
{
    private readonly StoreTable _table = new("in-process store");
    private bool _isDisposed;

    /// <inheritdoc/>
    public string Description => "in-process store";

    /// <summary>Keys set now.</summary>
    public int KeyCount
    {
        get
        {
            lock (_table) return _table.Count;
        }
    }

    /// <inheritdoc/>
    public void Set(string key, ReadOnlySpan<byte> value)
    {
        Check(key, value);
        byte[] copy = value.ToArray();
        Change(() => _table.Set(key, copy));
    }

    /// <inheritdoc/>
    public byte[] Get(string key, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        Wait([key], timeout, cancellationToken);
        // Between the wait and here another may have deleted it; then it is as if this call had come later.
        return TryGet(key, out byte[]? value) ? value : throw StoreTimeouts.Keys(Description, timeout, [key]);
    }

    /// <inheritdoc/>
    public bool TryGet(string key, [NotNullWhen(true)] out byte[]? value)
    {
        Check(key, []);
        lock (_table)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            value = (byte[]?)_table.Find(key)?.Clone();
            return value is not null;
        }
    }

    /// <inheritdoc/>
    public long Add(string key, long amount)
    {
        Check(key, []);
        long sum = 0;
        Change(() => sum = _table.Add(key, amount));
        return sum;
    }

    /// <inheritdoc/>
    public bool CompareExchange(string key, byte[]? expected, ReadOnlySpan<byte> value)
    {
        Check(key, value);
        byte[] copy = value.ToArray();
        bool isDone = false;
        Change(() => isDone = _table.CompareExchange(key, expected, copy));
        return isDone;
    }

    /// <inheritdoc/>
    public void Wait(IReadOnlyList<string> keys, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(keys);
        foreach (string key in keys) Check(key, []);
        RendezvousLimits.CheckTimeout(timeout);
        long began = Stopwatch.GetTimestamp();
        using CancellationTokenRegistration wake = cancellationToken.Register(() => Change(() => { }));
        lock (_table)
        {
            var missing = new HashSet<string>(keys, StringComparer.Ordinal);
            while (true)
            {
                ObjectDisposedException.ThrowIf(_isDisposed, this);
                cancellationToken.ThrowIfCancellationRequested();
                missing.RemoveWhere(key => _table.Find(key) is not null);
                if (missing.Count == 0) return;
                TimeSpan left = timeout - Stopwatch.GetElapsedTime(began);
                if (left <= TimeSpan.Zero) throw StoreTimeouts.Keys(Description, timeout, [.. keys.Where(missing.Contains).Distinct(StringComparer.Ordinal)]);
                Monitor.Wait(_table, left);
            }
        }
    }

    /// <inheritdoc/>
    public bool Delete(string key)
    {
        Check(key, []);
        bool wasSet = false;
        Change(() => wasSet = _table.Delete(key));
        return wasSet;
    }

    /// <summary>Ends all waits. Never blocks.</summary>
    public void Dispose()
    {
        lock (_table)
        {
            _isDisposed = true;
            Monitor.PulseAll(_table);
        }
    }

    private static void Check(string key, ReadOnlySpan<byte> value)
    {
        RendezvousLimits.Encode(key);
        RendezvousLimits.CheckValue(key, value);
    }

    private void Change(Action change)
    {
        lock (_table)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            change();
            Monitor.PulseAll(_table);
        }
    }
}
