namespace DistTrain.Kernels;

/// <summary>What the row kernel is told. Flags are 0 or 1; kernels take no bool.</summary>
internal struct DistillationSizesGpu
{
    public int Columns;
    public int HasLabels;
    public int IgnoreIndex;
    public int HasGradient;
    public float InverseTemperature;

    /// <summary>Of the hard and of the soft gradient, still to be divided by the rows counted.</summary>
    public float HardWeight;
    public float SoftWeight;

    /// <summary>The target's share on the label, and on every class besides (label smoothing).</summary>
    public float Hit;
    public float Rest;
}
