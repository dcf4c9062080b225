using System.Numerics;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Adds up a power of two of parts along the tree of <see cref="FixedTree"/> as they come, one after another: like a binary counter, a sum of 2^k parts waits until another such is there.
/// Holds one tensor for each level and item.
/// </summary>
internal sealed class FixedTreeSum : IDisposable
{
    private readonly int _partCount;
    private readonly Tensor[] _targets;
    private readonly Tensor[][] _levels;

    /// <param name="stream">The stream of the work.</param>
    /// <param name="partCount">Parts, a power of two.</param>
    /// <param name="targets">Where each item's sum goes; stay the caller's.</param>
    internal FixedTreeSum(ExecutionStream stream, int partCount, IEnumerable<Tensor> targets)
    {
        (_partCount, _targets) = (partCount, [.. targets]);
        _levels = [.. Enumerable.Range(0, BitOperations.Log2((uint)partCount)).Select(_ => _targets.Select(target => Tensor.Allocate(stream, target.Shape)).ToArray())];
    }

    /// <summary>Adds a part of an item; parts come in ascending order. The value is overwritten. With the last part the sum is in the item's target.</summary>
    internal void Add(ExecutionStream stream, int item, int part, Tensor value)
    {
        int merges = BitOperations.TrailingZeroCount(part + 1);
        Tensor place = part + 1 == _partCount ? _targets[item] : _levels[merges][item];
        if (merges == 0)
        {
            value.CopyTo(stream, place);
            return;
        }
        for (int level = 0; level < merges - 1; level++) Elementwise.Add(stream, value, _levels[level][item], value);
        Elementwise.Add(stream, place, _levels[merges - 1][item], value);
    }

    public void Dispose()
    {
        foreach (Tensor tensor in _levels.SelectMany(level => level)) tensor.Dispose();
    }
}
