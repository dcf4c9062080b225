/* Sub-groups. MPI's own split blocks, so all meet before it, in a wait that ends. */
#include "mpi_transport.h"

dt_status mpi_split(dt_comm *comm, int32_t color, int32_t key, dt_comm **part) {
    mpi *self = mpi_of(comm);
    char text[DT_TEXT_BYTES];
    mpi_handle base = 0;
    dt_status status = mpi_collective(comm, &(dt_call){.verb = DT_VERB_SPLIT, .dtype = DTYPE_BYTE});
    if (status != DT_OK) return status;
    int rank = 0, size = 0, code = self->adapter->divide(self->work, color, key, &base);
    if (code == 0 && base) code = self->adapter->rank_of(base, &rank, &size);
    if (code != 0) return mpi_error(self, code, "MPI_Comm_split");
    if (!base) return DT_OK;
    dt_options options = {.struct_bytes = sizeof options, .transport = DT_TRANSPORT_MPI, .rank = rank, .world_size = size, .flags = comm->flags,
                          .timeout_ms = atomic_load(&comm->timeout_ms), .segment_bytes = self->segment_bytes};
    status = mpi_make(&options, self->adapter, base, part, text, sizeof text);
    return status == DT_OK ? status : comm_error(comm, status, "dt_comm_split: %.900s", text);
}
