/* How a collective over ordinary memory is cut into segments. */
#ifndef DT_SHM_STAGED_H
#define DT_SHM_STAGED_H

#include "shm.h"

typedef struct staged {
    shm *self;
    const dt_call *call;
    int64_t size, segment, segments; /* bytes an element, elements a segment, how many */
    int32_t parts;                   /* per rank and segment: 1, or one for each rank */
    bool three_steps;
} staged;

static inline int64_t staged_least(int64_t left, int64_t right) { return left < right ? left : right; }

static inline int64_t staged_length(const staged *at, int64_t k) { return staged_least(at->segment, at->call->count - k * at->segment); }

/* A rank's slice of a segment, for the three-step form. */
static inline int64_t staged_slice(const staged *at, int64_t k, int32_t rank, int64_t *length) {
    int64_t whole = staged_length(at, k), world = at->self->comm.world_size, step = SHM_LINE / at->size;
    int64_t share = ((whole + world - 1) / world + step - 1) / step * step;
    int64_t from = staged_least(share * rank, whole);
    *length = staged_least(share, whole - from);
    return from;
}

/* An all-reduce between two ranks has three steps of its own, which pay sooner. */
static inline bool staged_is_pair(const shm *self, const dt_call *call) { return self->comm.world_size == 2 && call->verb == DT_VERB_ALL_REDUCE; }

/* The three steps between two ranks; the first segment has been written, and the barrier behind it passed. */
dt_status staged_pair(const staged *at);

#endif
