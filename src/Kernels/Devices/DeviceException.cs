namespace DistTrain.Kernels;

/// <summary>A device is unknown, can't be used, or failed. The message says why and what to do.</summary>
public sealed class DeviceException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>True if the name is no device's at all, rather than that of one which this machine lacks.</summary>
    public bool IsUnknownName { get; init; }
}
