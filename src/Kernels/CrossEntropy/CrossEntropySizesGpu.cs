namespace DistTrain.Kernels;

/// <summary>What the label kernel is told. Flags are 0 or 1; kernels take no bool.</summary>
internal struct CrossEntropySizesGpu
{
    public int Columns;
    public int IgnoreIndex;
    public int HasGradient;

    /// <summary>The target's share on the label, and on every class besides (label smoothing).</summary>
    public float Hit;
    public float Rest;
    public float GradientScale;
}
