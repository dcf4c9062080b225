/* Collectives over buffers that all ranks have mapped: nothing is copied twice. Between two barriers each rank reads what it needs where
 * it lies; a reduction's slice is reduced by its owner and stored to everyone. */
#include <string.h>

#include "shm.h"

static int64_t least(int64_t left, int64_t right) { return left < right ? left : right; }

/* This rank's slice of count elements, in whole pairs of cache lines. */
static int64_t slice(const shm *self, int64_t count, int64_t size, int64_t *length) {
    int64_t world = self->comm.world_size, step = SHM_LINE / size;
    int64_t share = ((count + world - 1) / world + step - 1) / step * step;
    int64_t from = least(share * self->comm.rank, count);
    *length = least(share, count - from);
    return from;
}

static void sources(shm *self, const char *from[], int64_t offset) {
    for (int32_t rank = 0; rank < self->comm.world_size; rank++) from[rank] = shm_at(self, rank, shm_said(self, rank)->send) + offset;
}

static void all_reduce(shm *self, const dt_call *call, int64_t size) {
    const char *from[DT_MAX_RANKS_SHM];
    char *to[DT_MAX_RANKS_SHM];
    int64_t length, offset = slice(self, call->count, size, &length) * size;
    int32_t world = self->comm.world_size, destinations = 0;
    sources(self, from, offset);
    for (int32_t step = 0; step < world; step++) { /* its own copy first */
        int32_t rank = (self->comm.rank + step) % world;
        if (call->verb == DT_VERB_REDUCE && rank != call->root) continue;
        to[destinations++] = shm_at(self, rank, shm_said(self, rank)->recv) + offset;
    }
    reduce(self->comm.kernels, call->dtype, call->op, to, destinations, from, world, length);
}

static void reduce_scatter(shm *self, const dt_call *call, int64_t size) {
    const char *from[DT_MAX_RANKS_SHM];
    char *to = call->recv;
    sources(self, from, call->count * size * self->comm.rank);
    reduce(self->comm.kernels, call->dtype, call->op, &to, 1, from, self->comm.world_size, call->count);
}

/* Each rank begins with its neighbour, so that not all read the same memory at once. */
static void gather(shm *self, const dt_call *call, int64_t size) {
    int64_t bytes = call->count * size;
    bool scatter = call->verb == DT_VERB_ALL_TO_ALL;
    for (int32_t step = 0; step < self->comm.world_size; step++) {
        int32_t rank = (self->comm.rank + step) % self->comm.world_size;
        const char *from = shm_at(self, rank, shm_said(self, rank)->send) + (scatter ? bytes * self->comm.rank : 0);
        char *to = call->recv + bytes * rank;
        if (from != to) memcpy(to, from, (size_t)bytes);
    }
}

dt_status shm_mapped(shm *self, const dt_call *call) {
    int64_t size = dtype_bytes(call->dtype);
    if (!shm_reach(self)) return shm_state(self);
    switch (call->verb) {
    case DT_VERB_ALL_REDUCE:
    case DT_VERB_REDUCE: all_reduce(self, call, size); break;
    case DT_VERB_REDUCE_SCATTER: reduce_scatter(self, call, size); break;
    case DT_VERB_BROADCAST: {
        const char *from = shm_at(self, call->root, shm_said(self, call->root)->send);
        if (from != call->recv) memcpy(call->recv, from, (size_t)(call->count * size));
        break;
    }
    default: gather(self, call, size); break;
    }
    shm_let_go(self);
    return shm_barrier(self);
}
