namespace DistTrain.Kernels;

/// <summary>How [N, C, positions] lies in memory: the element (n, c, p) is at (n · C + c) · Positions + p.</summary>
internal readonly record struct ChannelLayout(int Images, int Channels, int Positions)
{
    /// <summary>n of the statistics.</summary>
    public long ElementsPerChannel => (long)Images * Positions;

    /// <summary>Where channel <paramref name="channel"/> of image <paramref name="image"/> starts.</summary>
    public long Plane(int image, int channel) => (((long)image * Channels) + channel) * Positions;
}
