/* The flight recorder of this rank. Other ranks' calls are not readable over MPI; what they said of themselves is in the failures' texts. */
#include "mpi_transport.h"

static void put(_Atomic uint64_t *to, uint64_t value) { atomic_store_explicit(to, value, memory_order_relaxed); }
static uint64_t get(const _Atomic uint64_t *from) { return atomic_load_explicit(from, memory_order_relaxed); }

uint64_t mpi_record_enter(mpi *self, const dt_call *call) {
    uint64_t index = get(&self->records);
    mpi_record *record = &self->record[index % DT_FLIGHT_RECORDS];
    put(&record->state, 0);
    put(&record->sequence, self->comm.sequence);
    put(&record->verb, (uint64_t)call->verb);
    put(&record->dtype, (uint64_t)call->dtype);
    put(&record->op, (uint64_t)call->op);
    put(&record->root, (uint64_t)call->root);
    put(&record->count, (uint64_t)call->count);
    put(&record->start, (uint64_t)nanoseconds_now());
    put(&record->end, 0);
    put(&record->state, DT_RECORD_ENTERED);
    atomic_store_explicit(&self->records, index + 1, memory_order_release);
    return index;
}

void mpi_record_leave(mpi *self, uint64_t index, dt_status status) {
    mpi_record *record = &self->record[index % DT_FLIGHT_RECORDS];
    put(&record->end, (uint64_t)nanoseconds_now());
    put(&record->state, status == DT_OK ? DT_RECORD_DONE : DT_RECORD_FAILED);
}

int64_t mpi_records(dt_comm *comm, int32_t rank, dt_flight_record *records, int64_t capacity) {
    mpi *self = mpi_of(comm);
    if (rank != comm->rank) return 0;
    uint64_t end = atomic_load_explicit(&self->records, memory_order_acquire), now = (uint64_t)nanoseconds_now();
    uint64_t first = end > DT_FLIGHT_RECORDS ? end - DT_FLIGHT_RECORDS : 0;
    if (end - first > (uint64_t)capacity) first = end - (uint64_t)capacity;
    int64_t count = 0;
    for (uint64_t index = first; index < end; index++) {
        const mpi_record *from = &self->record[index % DT_FLIGHT_RECORDS];
        uint64_t state = get(&from->state), start = get(&from->start), stop = get(&from->end);
        if (state == 0) continue; /* being overwritten */
        records[count++] = (dt_flight_record){
            .sequence = get(&from->sequence),
            .verb = (int32_t)get(&from->verb),
            .dtype = (int32_t)get(&from->dtype),
            .op = (int32_t)get(&from->op),
            .root = (int32_t)get(&from->root),
            .count = (int64_t)get(&from->count),
            .start_ns = (int64_t)(now - start),
            .duration_ns = stop ? (int64_t)(stop - start) : 0,
            .state = (int32_t)state,
        };
    }
    return count;
}
