namespace DistTrain.Collectives;

/// <summary>Names a world of NCCL that is about to be made: rank 0 creates it and hands it to all ranks. No secret by itself, but whoever has it can join.</summary>
public sealed unsafe class NcclUniqueId
{
    /// <summary>Bytes of an id.</summary>
    public const int ByteCount = 128;

    private readonly byte[] _bytes;

    /// <param name="bytes">128 bytes, as <see cref="Bytes"/> of another rank's gives them.</param>
    /// <exception cref="ArgumentException">Another length.</exception>
    public NcclUniqueId(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != ByteCount) throw new ArgumentException($"an id of NCCL has {ByteCount} bytes, found {bytes.Length}", nameof(bytes));
        _bytes = bytes.ToArray();
    }

    /// <summary>What is handed to the other ranks.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>Makes a new one; loads NCCL for good.</summary>
    /// <exception cref="DllNotFoundException">The collectives' native library can't be loaded.</exception>
    /// <exception cref="NotSupportedException">NCCL or the CUDA driver can't be used; the message names what was tried.</exception>
    public static NcclUniqueId Create()
    {
        if (!ShimLibrary.TryLoad(out string problem)) throw new DllNotFoundException(problem);
        byte[] id = new byte[ByteCount];
        byte* error = stackalloc byte[ShimErrors.TextBytes];
        fixed (byte* first = id)
        {
            ShimStatus status = ShimMethods.dt_nccl_unique_id(first, ByteCount, error, ShimErrors.TextBytes);
            if (status != ShimStatus.Ok) throw ShimErrors.OfJoining(status, "nccl", ShimErrors.Text(error));
        }
        return new NcclUniqueId(id);
    }
}
