namespace DistTrain.Kernels;

/// <summary>
/// Names a stream of random numbers. What an element gets depends on this key, its sample's global index and its place in the sample only:
/// never on the device, the batch size, the rank or the order of calls.
/// </summary>
/// <param name="Seed">The run's seed.</param>
/// <param name="Step">The training step.</param>
/// <param name="Path">Which module draws, for example a hash of its path.</param>
/// <param name="FirstSample">The global index of the first sample; sample i of the tensor (along dimension 0) has index FirstSample + i.</param>
public readonly record struct RandomKey(ulong Seed, ulong Step, uint Path, long FirstSample = 0)
{
    /// <summary>
    /// The generator's constants: seed, step and path are 160 bits, more than a Philox key, so one block keyed by the seed makes the key
    /// of the stream. A block of four elements then has the counter (block in the sample, sample's index in two words, a third word of the key).
    /// </summary>
    internal RandomStream Stream()
    {
        PhiloxBlock derived = Philox.Block((uint)Step, (uint)(Step >> 32), Path, 0x44545231, (uint)Seed, (uint)(Seed >> 32));
        return new RandomStream { Key0 = derived.X, Key1 = derived.Y, Word3 = derived.Z, FirstSample = (ulong)FirstSample };
    }
}

/// <summary>A <see cref="RandomKey"/> made ready for kernels.</summary>
internal struct RandomStream
{
    public uint Key0, Key1, Word3;
    public ulong FirstSample;

    /// <summary>The words of elements 4·block to 4·block + 3 of a sample, counted from the tensor's first.</summary>
    public readonly PhiloxBlock Block(long sample, uint block)
    {
        ulong index = FirstSample + (ulong)sample;
        return Philox.Block(block, (uint)index, (uint)(index >> 32), Word3, Key0, Key1);
    }
}
