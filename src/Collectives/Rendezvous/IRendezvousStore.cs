using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Collectives;

/// <summary>
/// A small key-value store that the processes of one job share: for ids, restarts and membership, never for bulk data. Keys are at most <see cref="RendezvousLimits.MaxKeyByteCount"/> bytes of
/// UTF-8, values at most <see cref="RendezvousLimits.MaxValueByteCount"/> bytes, and there are at most <see cref="RendezvousLimits.MaxKeyCount"/> keys. Each call is atomic; all processes see the
/// calls in one order. Thread-safe. Every call blocks until the store has answered, no longer than its timeout or, where it has none, the store's own.
/// </summary>
/// <remarks>All calls throw <see cref="RendezvousException"/> when the store can't be reached, refuses or is full, and <see cref="ArgumentException"/> for a key or value that is too long.</remarks>
public interface IRendezvousStore : IDisposable
{
    /// <summary>What and where the store is, for messages: <c>TCP store 10.0.0.1:29400</c>.</summary>
    string Description { get; }

    /// <summary>Gives a key a value, in place of the one it may have, and wakes those who wait for the key.</summary>
    void Set(string key, ReadOnlySpan<byte> value);

    /// <summary>Waits until a key is set and returns its value, which belongs to the caller.</summary>
    /// <exception cref="RendezvousTimeoutException">The key was not set in time.</exception>
    /// <exception cref="OperationCanceledException">The token ended the wait.</exception>
    byte[] Get(string key, TimeSpan timeout, CancellationToken cancellationToken = default);

    /// <summary>Gets a key's value if it has one, without waiting for it.</summary>
    /// <returns>Whether the key is set.</returns>
    bool TryGet(string key, [NotNullWhen(true)] out byte[]? value);

    /// <summary>Adds to a counter: a key whose value is a 64-bit integer, 8 bytes, little-endian. A key that isn't set counts as 0. Wraps around.</summary>
    /// <returns>The counter afterwards.</returns>
    /// <exception cref="RendezvousException">The key's value is no counter.</exception>
    long Add(string key, long amount);

    /// <summary>Gives a key a value if it still has the expected one.</summary>
    /// <param name="key">The key.</param>
    /// <param name="expected">The value it must have; null: it must not be set.</param>
    /// <param name="value">The new value.</param>
    /// <returns>Whether it was as expected and has the new value now.</returns>
    bool CompareExchange(string key, byte[]? expected, ReadOnlySpan<byte> value);

    /// <summary>Waits until each of some keys has been seen set.</summary>
    /// <exception cref="RendezvousTimeoutException">Some were not set in time; the message names them.</exception>
    /// <exception cref="OperationCanceledException">The token ended the wait.</exception>
    void Wait(IReadOnlyList<string> keys, TimeSpan timeout, CancellationToken cancellationToken = default);

    /// <summary>Removes a key.</summary>
    /// <returns>Whether it was set.</returns>
    bool Delete(string key);
}
