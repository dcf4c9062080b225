using System.Runtime.InteropServices;

namespace DistTrain.Collectives;

/// <summary>The shim's functions, one to one. None may be called without a GC transition: all can wait.</summary>
internal static unsafe partial class ShimMethods
{
    internal const string Library = "disttrain_shim";

    static ShimMethods() => ShimLibrary.Register();

    [LibraryImport(Library)]
    internal static partial int dt_abi_version();

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_transport_available(int transport, byte* reason, long reasonBytes);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_comm_init(in ShimOptions options, out nint communicator, byte* error, long errorBytes);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_nccl_unique_id(byte* id, long idBytes, byte* error, long errorBytes);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_set_stream(ShimHandle communicator, nint stream);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_synchronize(ShimHandle communicator);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_comm_split(ShimHandle communicator, int color, int key, out nint part);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_leave(ShimHandle communicator);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_comm_destroy(nint communicator);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_comm_describe(ShimHandle communicator, ref ShimDescription description);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_set_timeout(ShimHandle communicator, long timeoutMs);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial ShimStatus dt_abort(ShimHandle communicator, string why);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_status_now(ShimHandle communicator);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_failure_info(ShimHandle communicator, ref ShimFailure failure);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_last_error(ShimHandle communicator, byte* text, long textBytes);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_flight_records(ShimHandle communicator, int rank, ShimFlightRecord* records, long capacity, out long count);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_alloc(ShimHandle communicator, long bytes, uint flags, out nint memory);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_free(ShimHandle communicator, nint memory);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_barrier(ShimHandle communicator);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_all_reduce(ShimHandle communicator, nint send, nint receive, long count, int dtype, int op);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_reduce_scatter(ShimHandle communicator, nint send, nint receive, long receiveCount, int dtype, int op);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_all_gather(ShimHandle communicator, nint send, nint receive, long sendCount, int dtype);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_broadcast(ShimHandle communicator, nint send, nint receive, long count, int dtype, int root);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_reduce(ShimHandle communicator, nint send, nint receive, long count, int dtype, int op, int root);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_all_to_all(ShimHandle communicator, nint send, nint receive, long count, int dtype);

    [LibraryImport(Library)]
    internal static partial ShimStatus dt_exchange(ShimHandle communicator, HostTransfer* transfers, int count);
}
