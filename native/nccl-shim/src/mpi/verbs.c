/* Collectives: what only moves data is MPI's own, non-blocking; reductions are in reductions.c. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi_transport.h"

enum { PIECE_BYTES = 1 << 30 };

/* Waits for a collective of MPI's. */
static dt_status complete(mpi *self, int code, const mpi_handle *handle, const char *name) {
    if (code != 0) return mpi_error(self, code, name);
    mpi_request request = {.handle = *handle, .peer = -1, .active = true};
    return mpi_complete(self, &request);
}

dt_status mpi_barrier(mpi *self) {
    mpi_handle request = 0;
    return complete(self, self->adapter->barrier(self->work, &request), &request, "MPI_Ibarrier");
}

dt_status mpi_gather_all(mpi *self, const void *from, void *to, int64_t bytes) {
    mpi_handle request = 0;
    bool in_place = (const char *)from == (char *)to + self->comm.rank * bytes;
    return complete(self, self->adapter->all_gather(self->work, in_place ? NULL : from, to, (int)bytes, &request), &request, "MPI_Iallgather");
}

static dt_status broadcast(mpi *self, const dt_call *call, int64_t bytes) {
    bool root = call->root == self->comm.rank;
    char *data = root ? (char *)(uintptr_t)call->send : call->recv;
    dt_status status = DT_OK;
    for (int64_t at = 0; at < bytes && status == DT_OK; at += PIECE_BYTES) {
        mpi_handle request = 0;
        int piece = bytes - at < PIECE_BYTES ? (int)(bytes - at) : PIECE_BYTES;
        status = complete(self, self->adapter->broadcast(self->work, data + at, piece, call->root, &request), &request, "MPI_Ibcast");
    }
    if (status == DT_OK && root && call->recv && call->recv != call->send) memcpy(call->recv, call->send, (size_t)bytes);
    return status;
}

/* Too much for one call of MPI's: sends and receives, in segments. */
static dt_status move_in_segments(mpi *self, const dt_call *call, const char *send, int64_t bytes) {
    int32_t world = self->comm.world_size, rank = self->comm.rank, count = 0;
    bool gather = call->verb == DT_VERB_ALL_GATHER;
    dt_transfer *transfers = malloc(2 * (size_t)world * sizeof *transfers);
    if (!transfers) return mpi_fail(self, DT_OUT_OF_MEMORY, (mpi_culprit){rank, 0}, "rank %d: no memory for %d transfers", rank, 2 * world);
    for (int32_t step = 1; step < world; step++) {
        int32_t to = (rank + step) % world, from = (rank + world - step) % world;
        transfers[count++] = (dt_transfer){DT_VERB_RECV, from, call->dtype, 0, call->recv + from * bytes, call->count};
        transfers[count++] = (dt_transfer){DT_VERB_SEND, to, call->dtype, 0, (char *)(uintptr_t)send + (gather ? 0 : to * bytes), call->count};
    }
    const char *own = send + (gather ? 0 : rank * bytes);
    if (own != call->recv + rank * bytes) memcpy(call->recv + rank * bytes, own, (size_t)bytes);
    dt_status status = mpi_stream(self, self->work, transfers, count);
    free(transfers);
    return status;
}

static dt_status all_to_all(mpi *self, const dt_call *call, int64_t bytes) {
    int64_t whole = bytes * self->comm.world_size;
    char *copy = call->send == call->recv ? malloc((size_t)whole) : NULL;
    mpi_handle request = 0;
    if (call->send == call->recv && !copy)
        return mpi_fail(self, DT_OUT_OF_MEMORY, (mpi_culprit){self->comm.rank, 0}, "rank %d: no memory for all_to_all in place: %lld bytes", self->comm.rank, (long long)whole);
    const char *send = copy ? memcpy(copy, call->send, (size_t)whole) : call->send;
    dt_status status = whole > PIECE_BYTES ? move_in_segments(self, call, send, bytes)
                                           : complete(self, self->adapter->all_to_all(self->work, send, call->recv, (int)bytes, &request), &request, "MPI_Ialltoall");
    if (status == DT_OK) free(copy); /* else MPI may still read it */
    return status;
}

dt_status mpi_move(mpi *self, const dt_call *call) {
    int64_t bytes = call->count * dtype_bytes(call->dtype);
    if (bytes == 0) return mpi_barrier(self);
    switch (call->verb) {
    case DT_VERB_BROADCAST: return broadcast(self, call, bytes);
    case DT_VERB_ALL_TO_ALL: return all_to_all(self, call, bytes);
    default:
        return bytes * self->comm.world_size > PIECE_BYTES ? move_in_segments(self, call, call->send, bytes) : mpi_gather_all(self, call->send, call->recv, bytes);
    }
}

/* DT_CHECK_CALLS: all tell all what they are about to do. All see the same list, so all fail alike. */
dt_status mpi_compare_calls(mpi *self) {
    int32_t world = self->comm.world_size, rank = self->comm.rank;
    mpi_said *all = calloc((size_t)world, sizeof *all);
    if (!all) return mpi_fail(self, DT_OUT_OF_MEMORY, (mpi_culprit){rank, 0}, "rank %d: no memory to compare calls", rank);
    all[rank] = self->now;
    dt_status status = mpi_gather_all(self, &all[rank], all, sizeof *all);
    for (int32_t other = 1; other < world && status == DT_OK; other++) {
        if (memcmp(&all[other], &all[0], sizeof *all) == 0) continue;
        char first[160], second[160];
        call_text(first, sizeof first, all[0].sequence, all[0].verb, all[0].dtype, all[0].op, all[0].root, all[0].count);
        call_text(second, sizeof second, all[other].sequence, all[other].verb, all[other].dtype, all[other].op, all[other].root, all[other].count);
        status = mpi_fail(self, DT_MISMATCH, (mpi_culprit){-1, DT_REASON_NONE}, "rank 0 called %s, rank %d called %s", first, other, second);
    }
    if (status == DT_OK || status == DT_MISMATCH) free(all); /* else MPI may still write it */
    return status;
}

static dt_status perform(mpi *self, const dt_call *call) {
    switch (call->verb) {
    case DT_VERB_BARRIER: return mpi_barrier(self);
    case DT_VERB_ALL_REDUCE:
    case DT_VERB_REDUCE_SCATTER:
    case DT_VERB_REDUCE: return mpi_reduce(self, call);
    case DT_VERB_BROADCAST:
    case DT_VERB_ALL_GATHER:
    case DT_VERB_ALL_TO_ALL: return mpi_move(self, call);
    default: return DT_OK; /* alloc, free, split: that all call it is all there is to do */
    }
}

dt_status mpi_collective(dt_comm *comm, const dt_call *call) {
    mpi *self = mpi_of(comm);
    if (++self->calls % 16 == 0) mpi_poll_news(self);
    dt_status status = mpi_state(self);
    if (status != DT_OK) return status;
    comm_count_call(comm);
    self->now = (mpi_said){comm->sequence, call->count, call->verb, call->dtype, call->op, call->root};
    self->exchanging = false;
    self->announced = false;
    uint64_t record = mpi_record_enter(self, call);
    if (comm->world_size == 1) {
        if (call->send != call->recv && call->count) memcpy(call->recv, call->send, (size_t)(call->count * dtype_bytes(call->dtype)));
    } else {
        bool compare = (comm->flags & DT_CHECK_CALLS) || call->verb >= DT_VERB_ALLOC;
        if (compare) status = mpi_compare_calls(self);
        if (status == DT_OK) status = perform(self, call);
    }
    mpi_record_leave(self, record, status);
    return status;
}
