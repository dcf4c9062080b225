namespace DistTrain.Ingest;

/// <summary>One colour component of a JPEG file: how it is sampled and where its samples and coefficients lie.</summary>
internal sealed class JpegComponent
{
    internal int Identifier, HorizontalSampling, VerticalSampling, QuantisationTable;

    /// <summary>Samples that count; blocks that hold them; blocks in whole minimum coded units, as memory has them.</summary>
    internal int Width, Height, BlocksWide, BlocksHigh, PaddedBlocksWide, PaddedBlocksHigh;

    /// <summary>First sample in the planes, first coefficient in the coefficients of a progressive frame.</summary>
    internal int PlaneStart, CoefficientStart;

    internal bool IsDecoded, IsWanted;
    internal int Prediction;
    internal readonly ushort[] Quantisation = new ushort[64];

    internal int Stride => PaddedBlocksWide * 8;
}

/// <summary>The frame header of a JPEG file (T.81, B.2.2) and the layout that follows from it.</summary>
internal sealed class JpegFrame
{
    // A header of 65,535 x 65,535 pixels and 4 components would need more than arrays can hold; the limit on pixels comes first in practice.
    private const long MaximumSampleCount = 1L << 30;

    internal int Width, Height, ComponentCount, UnitsWide, UnitsHigh, MaximumHorizontal, MaximumVertical, SampleCount;
    internal bool IsProgressive;
    internal readonly JpegComponent[] Components = [new(), new(), new(), new()];

    /// <summary>Blocks that any way of arranging scans has to bring.</summary>
    internal long BlockCount { get; private set; }

    internal void Read(ReadOnlySpan<byte> segment, bool isProgressive, int at, in SourceLocation source)
    {
        IsProgressive = isProgressive;
        if (segment.Length < 6 || segment.Length < 6 + (3 * segment[5]))
            throw ImageFault.At(source, at, $"a frame header of {segment.Length} bytes is too short");
        if (segment[0] != 8) throw ImageFault.At(source, at, $"{segment[0]} bits a sample; only 8 are supported");
        Height = (segment[1] << 8) | segment[2];
        Width = (segment[3] << 8) | segment[4];
        ComponentCount = segment[5];
        if (ComponentCount is not (1 or 3 or 4)) throw ImageFault.At(source, at, $"{ComponentCount} colour components; 1, 3 or 4 were expected");
        ImageFault.CheckSize(source, at, Width, Height, long.MaxValue);
        for (int i = 0; i < ComponentCount; i++) ReadComponent(Components[i], segment.Slice(6 + (3 * i), 3), at, source);
        Arrange(at, source);
    }

    private static void ReadComponent(JpegComponent component, ReadOnlySpan<byte> bytes, int at, in SourceLocation source)
    {
        component.Identifier = bytes[0];
        component.HorizontalSampling = bytes[1] >> 4;
        component.VerticalSampling = bytes[1] & 15;
        component.QuantisationTable = bytes[2];
        component.IsDecoded = false;
        component.IsWanted = true;
        if (component.HorizontalSampling is < 1 or > 4 || component.VerticalSampling is < 1 or > 4)
            throw ImageFault.At(source, at, $"sampling factors {component.HorizontalSampling} x {component.VerticalSampling}; 1 to 4 were expected");
        if (component.QuantisationTable > 3)
            throw ImageFault.At(source, at, $"quantisation table {component.QuantisationTable}; 0 to 3 were expected");
    }

    private void Arrange(int at, in SourceLocation source)
    {
        Span<JpegComponent> components = Components.AsSpan(0, ComponentCount);
        MaximumHorizontal = MaximumVertical = 1;
        foreach (JpegComponent component in components)
        {
            MaximumHorizontal = Math.Max(MaximumHorizontal, component.HorizontalSampling);
            MaximumVertical = Math.Max(MaximumVertical, component.VerticalSampling);
        }
        UnitsWide = DivideUp(Width, 8 * MaximumHorizontal);
        UnitsHigh = DivideUp(Height, 8 * MaximumVertical);
        long samples = 0;
        BlockCount = 0;
        foreach (JpegComponent component in components)
        {
            int horizontal = component.HorizontalSampling, vertical = component.VerticalSampling;
            if (MaximumHorizontal % horizontal != 0 || MaximumVertical % vertical != 0)
                throw ImageFault.At(source, at, $"sampling factors {horizontal} x {vertical} beside {MaximumHorizontal} x {MaximumVertical}: only whole ratios are supported");
            component.Width = DivideUp(Width * horizontal, MaximumHorizontal);
            component.Height = DivideUp(Height * vertical, MaximumVertical);
            component.BlocksWide = DivideUp(component.Width, 8);
            component.BlocksHigh = DivideUp(component.Height, 8);
            component.PaddedBlocksWide = UnitsWide * horizontal;
            component.PaddedBlocksHigh = UnitsHigh * vertical;
            component.PlaneStart = component.CoefficientStart = (int)Math.Min(samples, int.MaxValue);
            BlockCount += (long)component.BlocksWide * component.BlocksHigh;
            samples += 64L * component.PaddedBlocksWide * component.PaddedBlocksHigh;
        }
        SampleCount = (int)Math.Min(samples, MaximumSampleCount + 1);
    }

    internal void CheckMemory(int at, in SourceLocation source)
    {
        if (SampleCount > MaximumSampleCount)
            throw ImageFault.At(source, at, $"{Width} x {Height} pixels of {ComponentCount} components are more than can be decoded");
    }

    private static int DivideUp(int value, int divisor) => (value + divisor - 1) / divisor;
}
