/* Collectives over ordinary memory, through the slots: segment by segment, double-buffered, one barrier a segment.
 *
 * Two steps (a barrier between them): a rank writes its segment to its slot; the others read it. While segment k is read, k + 1 is written.
 * Three steps (large all-reduce and reduce): write; each rank reduces its slice of the segment into its slot; all read the slices. Between
 * two barriers: results of k - 1 are read, k is reduced, k + 1 is written.
 * An all-reduce between two ranks in three steps is staged_pair.c's.
 */
#include <string.h>

#include "staged.h"

static void copy(char *to, const char *from, int64_t bytes) {
    if (to != from && bytes > 0) memcpy(to, from, (size_t)bytes);
}

static char *results(const shm *self, int32_t rank, uint64_t phase) { return shm_slot(self, rank, phase) + self->segment_bytes; }

/* Step 1: what others will read of segment k. */
static void write_segment(const staged *at, int64_t k) {
    const dt_call *call = at->call;
    int32_t rank = at->self->comm.rank, world = at->self->comm.world_size;
    char *slot = shm_slot(at->self, rank, at->self->phase + 1);
    int64_t offset = k * at->segment * at->size, bytes = staged_length(at, k) * at->size;
    if (at->three_steps) { /* all but its own slice, which nobody else reads */
        int64_t length, from = staged_slice(at, k, rank, &length);
        int64_t before = from * at->size, after = (from + length) * at->size;
        copy(slot, call->send + offset, before);
        copy(slot + after, call->send + offset + after, bytes - after);
    } else if (at->parts > 1) {
        for (int32_t part = 0; part < world; part++)
            if (part != rank)
                copy(slot + part * at->segment * at->size, call->send + part * call->count * at->size + offset, bytes);
    } else if (call->verb != DT_VERB_BROADCAST || call->root == rank) {
        copy(slot, call->send + offset, bytes);
    }
}

static void reduce_from_slots(const staged *at, int64_t in_slot, const char *own, char *const *to, int32_t destinations, int64_t length) {
    const char *from[DT_MAX_RANKS_SHM];
    shm *self = at->self;
    for (int32_t rank = 0; rank < self->comm.world_size; rank++)
        from[rank] = rank == self->comm.rank ? own : shm_slot(self, rank, self->phase) + in_slot;
    reduce(self->comm.kernels, at->call->dtype, at->call->op, to, destinations, from, self->comm.world_size, length);
}

/* Step 2 of 3: this rank's slice of segment k, to where the others will read it and to its own buffer. */
static void reduce_slice(const staged *at, int64_t k) {
    const dt_call *call = at->call;
    shm *self = at->self;
    bool keeps = call->verb == DT_VERB_ALL_REDUCE || call->root == self->comm.rank;
    int64_t length, from = staged_slice(at, k, self->comm.rank, &length), offset = (k * at->segment + from) * at->size;
    char *result = results(self, self->comm.rank, self->phase + 1), *to[2] = {keeps ? call->recv + offset : result, result};
    reduce_from_slots(at, from * at->size, call->send + offset, to, keeps ? 2 : 1, length);
}

/* Step 3 of 3: the others' slices of segment k. */
static void read_slices(const staged *at, int64_t k) {
    const dt_call *call = at->call;
    shm *self = at->self;
    if (call->verb == DT_VERB_REDUCE && call->root != self->comm.rank) return;
    for (int32_t step = 1; step < self->comm.world_size; step++) {
        int32_t rank = (self->comm.rank + step) % self->comm.world_size;
        int64_t length, from = staged_slice(at, k, rank, &length);
        char *to = call->recv + (k * at->segment + from) * at->size;
        copy(to, results(self, rank, self->phase), length * at->size);
    }
}

/* Step 2 of 2: whatever this rank wants of segment k. */
static void read_segment(const staged *at, int64_t k) {
    const dt_call *call = at->call;
    shm *self = at->self;
    int32_t own = self->comm.rank, world = self->comm.world_size;
    int64_t offset = k * at->segment * at->size, length = staged_length(at, k), bytes = length * at->size, whole = call->count * at->size;
    int64_t in_slot = at->parts > 1 ? own * at->segment * at->size : 0;
    char *to = call->recv + offset;
    switch (call->verb) {
    case DT_VERB_REDUCE:
    case DT_VERB_ALL_REDUCE:
        if (call->verb == DT_VERB_ALL_REDUCE || call->root == own) reduce_from_slots(at, 0, call->send + offset, &to, 1, length);
        return;
    case DT_VERB_REDUCE_SCATTER: reduce_from_slots(at, in_slot, call->send + own * whole + offset, &to, 1, length); return;
    case DT_VERB_BROADCAST: copy(to, call->root == own ? call->send + offset : shm_slot(self, call->root, self->phase), bytes); return;
    default: break;
    }
    for (int32_t step = 0; step < world; step++) {
        int32_t rank = (own + step) % world;
        const char *from = shm_slot(self, rank, self->phase) + in_slot;
        if (rank == own) from = call->send + (call->verb == DT_VERB_ALL_TO_ALL ? own * whole : 0) + offset;
        copy(to + rank * whole, from, bytes);
    }
}

static dt_status two_steps(const staged *at) {
    dt_status status = DT_OK;
    for (int64_t k = 0; k < at->segments && status == DT_OK; k++) {
        if (k + 1 < at->segments) write_segment(at, k + 1);
        read_segment(at, k);
        if (k + 1 < at->segments) status = shm_barrier(at->self);
    }
    return status;
}

static dt_status three_steps(const staged *at) {
    for (int64_t k = 0; k < at->segments; k++) {
        if (k > 0) read_slices(at, k - 1);
        reduce_slice(at, k);
        if (k + 1 < at->segments) write_segment(at, k + 1);
        dt_status status = shm_barrier(at->self);
        if (status != DT_OK) return status;
    }
    if (at->segments) read_slices(at, at->segments - 1);
    return DT_OK;
}

static staged plan(shm *self, const dt_call *call) {
    staged at = {.self = self, .call = call, .size = dtype_bytes(call->dtype), .parts = 1};
    if (call->verb == DT_VERB_REDUCE_SCATTER || call->verb == DT_VERB_ALL_TO_ALL) at.parts = self->comm.world_size;
    if (call->verb == DT_VERB_ALL_REDUCE || call->verb == DT_VERB_REDUCE) at.three_steps = call->count * at.size > (staged_is_pair(self, call) ? self->pair_small_bytes : self->small_bytes);
    at.segment = self->segment_bytes / at.parts / at.size;
    at.segments = (call->count + at.segment - 1) / at.segment;
    return at;
}

/* The buffers that others would have to reach for the collective to go without staging. */
static bool offer(shm *self, const dt_call *call, uint64_t *send, uint64_t *recv) {
    int64_t bytes = call->count * dtype_bytes(call->dtype), all = bytes * self->comm.world_size;
    bool root = call->root == self->comm.rank, parts = call->verb == DT_VERB_REDUCE_SCATTER || call->verb == DT_VERB_ALL_TO_ALL;
    bool sends = call->verb != DT_VERB_BROADCAST || root;
    bool receives = call->verb == DT_VERB_ALL_REDUCE || (call->verb == DT_VERB_REDUCE && root);
    if (call->verb == DT_VERB_ALL_TO_ALL && call->send == call->recv) return false; /* a part would be overwritten before it is read */
    *send = sends ? shm_address_of(self, call->send, parts ? all : bytes) : 0;
    *recv = receives ? shm_address_of(self, call->recv, bytes) : 0;
    return (!sends || *send) && (!receives || *recv);
}

dt_status shm_staged(shm *self, const dt_call *call, bool *mapped) {
    staged at = plan(self, call);
    uint64_t send = 0, recv = 0;
    int64_t moved = call->count * at.size * at.parts;
    bool offered = moved > self->mapped_small_bytes && offer(self, call, &send, &recv);
    if (!offered && at.segments) write_segment(&at, 0);
    dt_status status = shm_begin(self, call, send, recv, offered);
    if (status != DT_OK) return status;
    int32_t offers = 0;
    for (int32_t rank = 0; rank < self->comm.world_size; rank++) offers += shm_said(self, rank)->extra != 0;
    if (offers == self->comm.world_size) {
        *mapped = true;
        return shm_mapped(self, call);
    }
    if (offers) { /* some had not staged their first segment */
        write_segment(&at, 0);
        status = shm_barrier(self);
        if (status != DT_OK) return status;
    }
    if (!at.three_steps) return two_steps(&at);
    return staged_is_pair(self, call) ? staged_pair(&at) : three_steps(&at);
}
