using System.Text;

namespace DistTrain.Collectives;

/// <summary>What a rendezvous store takes. It is for ids and membership: whoever meets these limits has data to send, which is what communicators are for.</summary>
public static class RendezvousLimits
{
    /// <summary>Bytes of a key, in UTF-8.</summary>
    public const int MaxKeyByteCount = 256;

    /// <summary>Bytes of a value.</summary>
    public const int MaxValueByteCount = 64 * 1024;

    /// <summary>Keys that are set at one time.</summary>
    public const int MaxKeyCount = 4096;

    // Invalid surrogates would all become the same replacement character, and so different keys one.
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    internal static byte[] Encode(string key)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        byte[] bytes;
        try
        {
            bytes = Strict.GetBytes(key);
        }
        catch (EncoderFallbackException failure)
        {
            throw new ArgumentException("the key has half a surrogate pair; keys are text", nameof(key), failure);
        }
        if (bytes.Length > MaxKeyByteCount)
            throw new ArgumentException($"the key '{key.AsSpan(0, 32)}...' has {bytes.Length:N0} bytes of UTF-8, a rendezvous store takes {MaxKeyByteCount}", nameof(key));
        return bytes;
    }

    /// <summary>A key that came from outside; null if it is no valid one.</summary>
    internal static string? Decode(ReadOnlySpan<byte> key)
    {
        if (key.IsEmpty || key.Length > MaxKeyByteCount) return null;
        try
        {
            return Strict.GetString(key);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }

    internal static void CheckValue(string key, ReadOnlySpan<byte> value)
    {
        if (value.Length > MaxValueByteCount)
            throw new ArgumentException(
                $"the value for '{key}' has {value.Length:N0} bytes, a rendezvous store takes {MaxValueByteCount:N0}; send bulk data through a communicator", nameof(value));
    }

    internal static void CheckTimeout(TimeSpan timeout)
    {
        if (timeout < TimeSpan.Zero || timeout.TotalMilliseconds > int.MaxValue)
            throw new ArgumentOutOfRangeException(nameof(timeout), timeout, "a timeout is between zero and 24 days");
    }
}
