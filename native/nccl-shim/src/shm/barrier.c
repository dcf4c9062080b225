/* Barriers: every rank numbers its own arrivals and waits for everyone's. */
#include <stdio.h>

#include "shm.h"

uint64_t shm_signature(const dt_call *call) {
    return (uint64_t)(uint8_t)call->verb | (uint64_t)(uint8_t)call->dtype << 8 | (uint64_t)(uint8_t)call->op << 16 |
           (uint64_t)(uint32_t)call->root << 32;
}

typedef struct arrival_of {
    const shm_arrival *line;
    uint64_t phase;
    int32_t rank;
} arrival_of;

static bool arrived(shm *self, void *context) {
    const arrival_of *awaited = context;
    (void)self;
    return atomic_load(&awaited->line->phase) >= awaited->phase;
}

/* Who has left for good cannot arrive any more. */
static bool arrived_or_left(shm *self, void *context) {
    const arrival_of *awaited = context;
    return arrived(self, context) || atomic_load(&self->ranks[awaited->rank].left);
}

static __attribute__((noinline)) dt_status wait_for(shm *self, int32_t rank) {
    arrival_of awaited = {&self->ranks[rank].arrival[self->phase & 1], self->phase, rank};
    dt_status status = shm_wait(self, arrived_or_left, &awaited, (uint32_t)rank + 1);
    if (status == DT_TIMEOUT && shm_state(self) == DT_OK) return shm_late(self);
    if (status != DT_OK || arrived(self, &awaited)) return status;
    char theirs[200], mine[200];
    shm_last_call(self, rank, theirs, sizeof theirs);
    shm_last_call(self, self->comm.rank, mine, sizeof mine);
    return shm_fail(self, DT_PEER_LOST, (shm_culprit){rank, DT_REASON_LEFT},
                    "rank %d (pid %d) has destroyed its communicator (%s) while rank %d waits for it (%s)", rank,
                    atomic_load(&self->ranks[rank].pid), theirs, self->comm.rank, mine);
}

/* The usual case: the others are about to arrive. */
static bool arrives_soon(shm *self, const shm_arrival *line, uint64_t phase) {
    enum { SPINS = 64 };
    for (int spin = 0; spin < (self->oversubscribed ? 1 : SPINS); spin++) {
        if (atomic_load_explicit(&line->phase, memory_order_acquire) >= phase) return true;
        pause_core();
    }
    return false;
}

dt_status shm_barrier(shm *self) {
    uint64_t phase = ++self->phase;
    int32_t rank = self->comm.rank, world = self->comm.world_size;
    shm_publish(self, &self->own->arrival[phase & 1].phase, phase);
    for (int32_t step = 1; step < world; step++) {
        int32_t peer = rank + step < world ? rank + step : rank + step - world;
        if (arrives_soon(self, &self->ranks[peer].arrival[phase & 1], phase)) continue;
        dt_status status = wait_for(self, peer);
        if (status != DT_OK) return status;
    }
    return DT_OK;
}

static __attribute__((noinline)) dt_status differ(shm *self, int32_t rank) {
    const shm_arrival *mine = shm_said(self, self->comm.rank), *theirs = shm_said(self, rank);
    char text[2][200];
    const shm_arrival *said[2] = {mine, theirs};
    for (int i = 0; i < 2; i++)
        call_text(text[i], sizeof text[i], said[i]->sequence, (int32_t)(said[i]->signature & 255), (int32_t)(said[i]->signature >> 8 & 255),
                  (int32_t)(said[i]->signature >> 16 & 255), (int32_t)(said[i]->signature >> 32), (int64_t)said[i]->count);
    return shm_fail(self, DT_MISMATCH, (shm_culprit){-1, DT_REASON_NONE}, "ranks called different collectives: rank %d (pid %d) called %s, rank %d (pid %d) called %s%s",
                    self->comm.rank, atomic_load(&self->own->pid), text[0], rank, atomic_load(&self->ranks[rank].pid), text[1],
                    mine->group == theirs->group ? "" : ", in different groups");
}

dt_status shm_begin(shm *self, const dt_call *call, uint64_t send, uint64_t recv, uint64_t extra) {
    shm_arrival *mine = &self->own->arrival[(self->phase + 1) & 1];
    mine->sequence = self->comm.sequence;
    mine->signature = shm_signature(call);
    mine->count = (uint64_t)call->count;
    mine->group = self->control->group;
    mine->send = send;
    mine->recv = recv;
    mine->extra = extra;
    dt_status status = shm_barrier(self);
    for (int32_t rank = 0; status == DT_OK && rank < self->comm.world_size; rank++) {
        const shm_arrival *theirs = shm_said(self, rank);
        if (theirs->signature != mine->signature || theirs->count != mine->count || theirs->sequence != mine->sequence ||
            theirs->group != mine->group)
            status = differ(self, rank);
    }
    return status;
}
