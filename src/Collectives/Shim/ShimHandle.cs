using System.Runtime.InteropServices;

namespace DistTrain.Collectives;

/// <summary>A communicator of the shim. Freeing it is local: registered memory and mappings go with it, peers that still need it learn that this rank left.</summary>
internal sealed class ShimHandle : SafeHandle
{
    internal ShimHandle(nint communicator)
        : base(0, ownsHandle: true) => SetHandle(communicator);

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle() => ShimMethods.dt_comm_destroy(handle) == ShimStatus.Ok;
}
