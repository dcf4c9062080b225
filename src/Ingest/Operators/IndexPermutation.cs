using System.Numerics;

namespace DistTrain.Ingest;

/// <summary>
/// A keyed permutation of 0 .. count - 1, computed place by place: a Feistel network (M. Luby, C. Rackoff, 1988) over the least number of bits that holds the
/// count, walked along its cycle until it falls inside (J. Black, P. Rogaway, "Ciphers with Arbitrary Finite Domains", 2002): less than two walks a place on
/// average. The halves may differ by one bit.
/// </summary>
internal sealed class IndexPermutation
{
    // Four rounds are enough against a chosen-input test in theory; eight leave no pattern in small domains either.
    private const int RoundCount = 8;

    private readonly ulong[] _keys = new ulong[RoundCount];
    private readonly long _count;
    private readonly int _lowBits, _highBits;

    internal IndexPermutation(long count, ulong seed, long epoch)
    {
        _count = count;
        int bits = Math.Max(2, BitOperations.Log2((ulong)Math.Max(1, count - 1)) + 1);
        (_lowBits, _highBits) = (bits / 2, bits - (bits / 2));
        ElementRandom random = new(seed, epoch, -1);
        for (int i = 0; i < RoundCount; i++) _keys[i] = random.NextUInt64();
    }

    /// <summary>Which element is at <paramref name="position"/> of the order.</summary>
    internal long this[long position]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(position);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(position, _count);
            ulong value = (ulong)position;
            do value = Encrypt(value);
            while (value >= (ulong)_count);
            return (long)value;
        }
    }

    // Each half in turn is changed by a function of the other one, which can be undone: so the whole is one to one.
    private ulong Encrypt(ulong value)
    {
        ulong lowMask = (1UL << _lowBits) - 1, highMask = (1UL << _highBits) - 1;
        ulong low = value & lowMask, high = value >> _lowBits;
        for (int round = 0; round < RoundCount; round += 2)
        {
            low ^= ElementRandom.Mix(high + _keys[round]) & lowMask;
            high ^= ElementRandom.Mix(low + _keys[round + 1]) & highMask;
        }
        return (high << _lowBits) | low;
    }
}
