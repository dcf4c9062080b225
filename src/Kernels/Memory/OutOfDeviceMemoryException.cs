namespace DistTrain.Kernels;

/// <summary>A device has no memory left for a buffer, even after its pool gave back what it kept for reuse.</summary>
public sealed class OutOfDeviceMemoryException(string device, long requestedByteCount, long rentedByteCount, long limitByteCount, Exception? inner = null)
    : Exception(
        $"device {device} can't allocate {requestedByteCount:N0} bytes: {rentedByteCount:N0} bytes are in use of at most {limitByteCount:N0}. " +
        "Use a smaller batch, or dispose tensors earlier.", inner)
{
    /// <summary>The device's name.</summary>
    public string Device { get; } = device;

    /// <summary>Bytes that were asked for.</summary>
    public long RequestedByteCount { get; } = requestedByteCount;

    /// <summary>Bytes in use by tensors when the request failed.</summary>
    public long RentedByteCount { get; } = rentedByteCount;
}
