namespace DistTrain.Kernels;

/// <summary>
/// A convolution as shifts over flat planes, for the CPU. Source planes are copied once, with their padding, into planes whose rows follow
/// each other at <see cref="Pitch"/>; seen as one long row, target position p reads source position p + offset(tap), the same offset for
/// every p. So vectors run across rows, nothing of the im2col matrix is ever built, and the few positions between rows are computed in vain
/// and dropped. A stride splits the source into planes by row and column modulo the stride ("phases"), after which it is such a shift again.
/// The gradient of the input is the same with output and input exchanged: its targets split into lattices by row and column modulo the
/// stride, each a shift with the taps that reach it. Arithmetic only: no memory is touched here.
/// </summary>
internal struct FlatPlan
{
    /// <summary>Floats of padded source that an item should stay below, for the second-level cache.</summary>
    private const int SourceElementLimit = 64 * 1024;

    /// <summary>Flat positions that an item should stay below, for the first-level cache.</summary>
    private const int PositionLimit = 1536;

    public int BatchCount, Groups, SourceChannels, TargetChannels;
    public int SourceHeight, SourceWidth, TargetHeight, TargetWidth;
    public int KernelHeight, KernelWidth;

    /// <summary>Source rows and columns from one lattice position to the next.</summary>
    public int StepHeight, StepWidth;

    /// <summary>Phases of the source that taps read, of <see cref="StepHeight"/> and <see cref="StepWidth"/> each.</summary>
    public int PhaseRows, PhaseColumns;

    /// <summary>Target rows and columns from one position of a lattice to the next; the number of lattices is their product.</summary>
    public int LatticeHeight, LatticeWidth;

    /// <summary>Zeros before the first source row and column; negative where rows are left out instead.</summary>
    public int PaddingTop, PaddingLeft;

    /// <summary>Rows that the taps of one target row span, in a phase.</summary>
    public int TapRows;

    /// <summary>Floats from a row of a flat plane to the next.</summary>
    public int Pitch;

    /// <summary>Floats from a flat plane to the next.</summary>
    public int PlaneStride;

    /// <summary>Lattice rows of one item, and items that a plane takes.</summary>
    public int BandRows, BandCount;

    /// <summary>True for the gradient of the input: taps run over output channels, rows over input channels.</summary>
    public bool IsTransposed;

    private int _paddingHeight, _paddingWidth;

    public readonly int LatticeCount => LatticeHeight * LatticeWidth;

    public readonly int ItemCount => checked(BatchCount * Groups * BandCount);

    public readonly int SourceElementCount => checked(SourceChannels * PhaseRows * PhaseColumns * PlaneStride) + 64;

    /// <summary>Taps of all lattices together.</summary>
    public readonly int TapCount => checked(SourceChannels * KernelHeight * KernelWidth);

    /// <summary>Flat positions of the largest band, rounded up to whole vectors of any width.</summary>
    public readonly int Stripe => ((BandRows * Pitch) + 31) / 16 * 16;

    public static FlatPlan Forward(in ConvolutionGeometry g, int threadCount)
    {
        FlatPlan plan = new()
        {
            BatchCount = g.BatchCount, Groups = g.Groups, SourceChannels = g.InputChannels, TargetChannels = g.OutputChannels,
            SourceHeight = g.InputHeight, SourceWidth = g.InputWidth, TargetHeight = g.OutputHeight, TargetWidth = g.OutputWidth,
            KernelHeight = g.KernelHeight, KernelWidth = g.KernelWidth, StepHeight = g.StrideHeight, StepWidth = g.StrideWidth,
            PhaseRows = Math.Min(g.StrideHeight, g.KernelHeight), PhaseColumns = Math.Min(g.StrideWidth, g.KernelWidth),
            LatticeHeight = 1, LatticeWidth = 1, PaddingTop = g.PaddingHeight, PaddingLeft = g.PaddingWidth,
            TapRows = ((g.KernelHeight - 1) / g.StrideHeight) + 1,
        };
        plan.Lay(((g.KernelWidth - 1) / g.StrideWidth) + 1, threadCount);
        return plan;
    }

    public static FlatPlan BackwardInput(in ConvolutionGeometry g, int threadCount)
    {
        int firstRow = FirstShift(g.PaddingHeight, g.KernelHeight, g.StrideHeight), firstColumn = FirstShift(g.PaddingWidth, g.KernelWidth, g.StrideWidth);
        FlatPlan plan = new()
        {
            BatchCount = g.BatchCount, Groups = g.Groups, SourceChannels = g.OutputChannels, TargetChannels = g.InputChannels,
            SourceHeight = g.OutputHeight, SourceWidth = g.OutputWidth, TargetHeight = g.InputHeight, TargetWidth = g.InputWidth,
            KernelHeight = g.KernelHeight, KernelWidth = g.KernelWidth, StepHeight = 1, StepWidth = 1, PhaseRows = 1, PhaseColumns = 1,
            LatticeHeight = g.StrideHeight, LatticeWidth = g.StrideWidth, PaddingTop = -firstRow, PaddingLeft = -firstColumn,
            TapRows = ((g.StrideHeight - 1 + g.PaddingHeight) / g.StrideHeight) - firstRow + 1,
            IsTransposed = true, _paddingHeight = g.PaddingHeight, _paddingWidth = g.PaddingWidth,
        };
        plan.Lay(((g.StrideWidth - 1 + g.PaddingWidth) / g.StrideWidth) - firstColumn + 1, threadCount);
        return plan;
    }

    /// <summary>Rows (or columns) of the target that the lattice starting at <paramref name="first"/> holds.</summary>
    public static int LatticeExtent(int targetExtent, int first, int step) => targetExtent <= first ? 0 : ((targetExtent - first - 1) / step) + 1;

    /// <summary>
    /// Where the tap of kernel row or column <paramref name="u"/> reads, in rows or columns of the flat plane, for targets of the lattice at
    /// <paramref name="first"/>; false if it does not reach them.
    /// </summary>
    private static bool TryShift(int u, int first, int step, int padding, int kernel, out int shift)
    {
        int distance = first + padding - u;
        shift = FloorDivide(distance, step) - FirstShift(padding, kernel, step);
        return distance - (FloorDivide(distance, step) * step) == 0;
    }

    /// <summary>Writes, for the taps of one lattice in ascending (channel, row, column), where they read in the flat source and in the weight. Gives their number.</summary>
    public readonly unsafe int WriteTaps(int latticeRow, int latticeColumn, int* sourceOffsets, int* weightOffsets)
    {
        int count = 0, kernelPlane = KernelHeight * KernelWidth;
        for (int c = 0; c < SourceChannels; c++)
        {
            int weightBase = checked(c * kernelPlane * (IsTransposed ? TargetChannels : 1));
            for (int place = 0; place < kernelPlane; place++)
            {
                int u = place / KernelWidth, v = place % KernelWidth, offset;
                if (IsTransposed)
                {
                    if (!TryShift(u, latticeRow, LatticeHeight, _paddingHeight, KernelHeight, out int row)) continue;
                    if (!TryShift(v, latticeColumn, LatticeWidth, _paddingWidth, KernelWidth, out int column)) continue;
                    offset = (c * PlaneStride) + (row * Pitch) + column;
                }
                else
                {
                    int phase = (((c * PhaseRows) + (u % StepHeight)) * PhaseColumns) + (v % StepWidth);
                    offset = (phase * PlaneStride) + (u / StepHeight * Pitch) + (v / StepWidth);
                }
                sourceOffsets[count] = offset;
                weightOffsets[count++] = weightBase + place;
            }
        }
        return count;
    }

    /// <summary>Chooses pitch, bands and plane stride.</summary>
    private void Lay(int tapColumns, int threadCount)
    {
        int rows = LatticeExtent(TargetHeight, 0, LatticeHeight), columns = LatticeExtent(TargetWidth, 0, LatticeWidth);
        int reach = columns + tapColumns - 1;
        // Without phases, the zeros right of a row can be those left of the next one.
        int shared = StepWidth == 1 ? Math.Max(0, Math.Min(PaddingLeft, reach - PaddingLeft - SourceWidth)) : 0;
        Pitch = Math.Max(columns, reach - shared);
        int rowElements = Math.Max(1, SourceChannels * PhaseRows * PhaseColumns * Pitch);
        int wanted = Math.Min(Math.Max(TapRows, (SourceElementLimit / rowElements) - TapRows), Math.Max(1, PositionLimit / Pitch));
        int planes = Math.Max(1, BatchCount * Groups);
        // Few planes: cut them finer, so that every thread gets work.
        if (planes < 4 * threadCount) wanted = Math.Min(wanted, Math.Max(2, (int)((long)rows * planes / (4L * threadCount))));
        BandCount = Math.Max(1, (rows + wanted - 1) / Math.Max(1, wanted));
        BandRows = (rows + BandCount - 1) / BandCount;
        BandCount = Math.Max(1, (rows + BandRows - 1) / Math.Max(1, BandRows));
        // An odd number of cache lines: planes then spread over all sets of the caches.
        PlaneStride = ((((BandRows + TapRows) * Pitch) + 15) / 16 | 1) * 16;
    }

    /// <summary>The least shift of any tap on any lattice.</summary>
    private static int FirstShift(int padding, int kernel, int step) => -FloorDivide(kernel - 1 - padding, step);

    private static int FloorDivide(int value, int divisor) => value >= 0 ? value / divisor : -((-value + divisor - 1) / divisor);
}
