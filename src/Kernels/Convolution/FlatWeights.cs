namespace DistTrain.Kernels;

/// <summary>
/// The weights of one call, packed as the tiles of <see cref="FlatTiles"/> read them: for each group and lattice, tiles of target channels as
/// [tap][channel], the last one filled up with zeros, or single channels where a tile would be mostly zeros. Beside them the tables of where
/// taps read.
/// </summary>
internal unsafe struct FlatWeights : ISimdKernel
{
    /// <summary>Channels of the widest tile.</summary>
    public const int WidestTile = 8;

    private FlatPlan _plan;
    private int _tileWidth;

    /// <summary>Channels that go in tiles; the rest go singly.</summary>
    private int _tiledChannels;

    // Per lattice: taps before it (one more at the end); then per tap: source offset; then weight offset.
    private int* _firstTaps;
    private int* _sourceOffsets;
    private int* _weightOffsets;
    private float* _packed;
    private float* _weight;

    /// <summary>Allocates, builds the tables and packs. Dispose the memory after the job that reads it.</summary>
    public static Tensor Pack(ExecutionStream stream, CpuDevice cpu, in FlatPlan plan, Tensor weight, out FlatWeights weights)
    {
        int tile = cpu.InstructionSet == InstructionSet.Avx512 ? 8 : 4;
        int rest = plan.TargetChannels % tile;
        int tableCount = ((plan.LatticeCount + 1 + (2 * plan.TapCount)) + 15) / 16 * 16;
        int tiled = plan.TargetChannels - rest + (rest > tile / 4 ? tile : 0);
        long packedCount = (long)plan.Groups * plan.TapCount * Math.Max(tiled, plan.TargetChannels);
        Tensor memory = Tensor.Allocate(stream, new Shape(checked((int)(tableCount + packedCount))));
        weights = new FlatWeights
        {
            _plan = plan, _tileWidth = tile, _tiledChannels = tiled, _firstTaps = (int*)memory.Pointer,
            _sourceOffsets = (int*)memory.Pointer + plan.LatticeCount + 1,
            _weightOffsets = (int*)memory.Pointer + plan.LatticeCount + 1 + plan.TapCount,
            _packed = (float*)memory.Pointer + tableCount, _weight = (float*)weight.Pointer,
        };
        weights.WriteTables();
        cpu.Run(weights, plan.Groups * plan.LatticeCount);
        return memory;
    }

    /// <summary>Channels of the tile that starts at <paramref name="channel"/>.</summary>
    public readonly int TileWidth(int channel) => channel < _tiledChannels ? _tileWidth : 1;

    public readonly int TapCount(int lattice) => _firstTaps[lattice + 1] - _firstTaps[lattice];

    public readonly int* SourceOffsets(int lattice) => _sourceOffsets + _firstTaps[lattice];

    /// <summary>The packed weights of the tile that starts at <paramref name="channel"/>.</summary>
    public readonly float* Tile(int group, int lattice, int channel)
    {
        long perGroup = PackedChannels * (long)_plan.TapCount;
        return _packed + (group * perGroup) + (PackedChannels * (long)_firstTaps[lattice]) + ((long)channel * TapCount(lattice));
    }

    private readonly int PackedChannels => Math.Max(_tiledChannels, _plan.TargetChannels);

    /// <summary>Packs one lattice of one group.</summary>
    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        (int group, int lattice) = Math.DivRem(item, _plan.LatticeCount);
        int taps = TapCount(lattice), kernelPlane = _plan.KernelHeight * _plan.KernelWidth;
        int* offsets = _weightOffsets + _firstTaps[lattice];
        float* groupWeights = _weight + ((long)group * _plan.TargetChannels * _plan.TapCount);
        long channelStride = _plan.IsTransposed ? kernelPlane : _plan.TapCount;
        for (int channel = 0; channel < _plan.TargetChannels; channel += TileWidth(channel))
        {
            int width = TileWidth(channel), count = Math.Min(width, _plan.TargetChannels - channel);
            float* packed = Tile(group, lattice, channel), first = groupWeights + (channel * channelStride);
            for (int tap = 0; tap < taps; tap++, packed += width)
            {
                float* from = first + offsets[tap];
                for (int c = 0; c < count; c++) packed[c] = from[c * channelStride];
                for (int c = count; c < width; c++) packed[c] = 0f;
            }
        }
    }

    private readonly void WriteTables()
    {
        int taps = 0;
        for (int lattice = 0; lattice < _plan.LatticeCount; lattice++)
        {
            _firstTaps[lattice] = taps;
            taps += _plan.WriteTaps(lattice / _plan.LatticeWidth, lattice % _plan.LatticeWidth, _sourceOffsets + taps, _weightOffsets + taps);
        }
        _firstTaps[_plan.LatticeCount] = taps;
    }
}
