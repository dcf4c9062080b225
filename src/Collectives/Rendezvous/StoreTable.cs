using System.Buffers.Binary;

namespace DistTrain.Collectives;

/// <summary>The keys and values of a store that lives in memory, with the rules that all stores share. Not thread-safe: its owner lets one in at a time. Values are never changed once stored.</summary>
internal sealed class StoreTable(string description)
{
    private readonly Dictionary<string, byte[]> _values = new(StringComparer.Ordinal);

    internal int Count => _values.Count;

    internal byte[]? Find(string key) => _values.GetValueOrDefault(key);

    internal void Set(string key, byte[] value)
    {
        if (!_values.ContainsKey(key)) CheckRoom(key, _values.Count, description);
        _values[key] = value;
    }

    internal long Add(string key, long amount)
    {
        long sum = unchecked(ReadCounter(key, Find(key), description) + amount);
        Set(key, WriteCounter(sum));
        return sum;
    }

    internal bool CompareExchange(string key, byte[]? expected, byte[] value)
    {
        byte[]? found = Find(key);
        if (!AreEqual(found, expected)) return false;
        Set(key, value);
        return true;
    }

    internal bool Delete(string key) => _values.Remove(key);

    internal static bool AreEqual(byte[]? left, byte[]? right) => left is null ? right is null : right is not null && left.AsSpan().SequenceEqual(right);

    internal static void CheckRoom(string key, int count, string description)
    {
        if (count >= RendezvousLimits.MaxKeyCount)
            throw new RendezvousException($"{description} can't take the key '{key}': it holds {count:N0} keys, which is the most it takes; delete keys that are no longer needed");
    }

    internal static long ReadCounter(string key, byte[]? value, string description)
    {
        if (value is null) return 0;
        if (value.Length != sizeof(long))
            throw new RendezvousException($"{description} can't add to the key '{key}': its value has {value.Length:N0} bytes, a counter has {sizeof(long)}");
        return BinaryPrimitives.ReadInt64LittleEndian(value);
    }

    internal static byte[] WriteCounter(long count)
    {
        byte[] value = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(value, count);
        return value;
    }
}
