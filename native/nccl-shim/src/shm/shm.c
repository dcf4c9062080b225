/* The shm transport put together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm.h"

/* Up to these sizes one barrier and a detour over the slots are faster than two barriers. */
enum { SMALL_BYTES = 16 * 1024, PAIR_SMALL_BYTES = 2 * 1024, SMALL_BYTES_MAPPED = 2 * 1024, CROWDED_SMALL_BYTES = 64 * 1024, CROWDED_SMALL_BYTES_MAPPED = 16 * 1024 };

dt_status shm_collective(dt_comm *comm, const dt_call *call) {
    shm *self = shm_of(comm);
    bool mapped = false;
    dt_status status = shm_state(self);
    if (status != DT_OK) return status;
    comm_count_call(comm);
    uint64_t record = shm_record_enter(self, call);
    if (comm->world_size == 1) {
        if (call->send != call->recv && call->count) memcpy(call->recv, call->send, (size_t)(call->count * dtype_bytes(call->dtype)));
    } else {
        status = call->verb == DT_VERB_BARRIER ? shm_begin(self, call, 0, 0, 0) : shm_staged(self, call, &mapped);
    }
    shm_record_leave(self, record, status, mapped);
    if (__builtin_expect(status != DT_OK, 0)) shm_settle(self);
    return status;
}

/* A barrier before the communicator is anybody's. What went wrong there is in the shared memory, if it came so far. */
static dt_status meet(shm *self, char *text, size_t text_bytes, dt_status status) {
    if (status == DT_OK) status = shm_barrier(self);
    if (status != DT_OK)
        snprintf(text, text_bytes, "%s", atomic_load(&self->control->failure.state) == SHM_FAILED ? self->control->failure.text : dt_status_text(status));
    return status;
}

static dt_status start(shm *self, shm *parent, char *text, size_t text_bytes) {
    int32_t world = self->comm.world_size;
    self->own = &self->ranks[self->comm.rank];
    self->ends = calloc((size_t)world, sizeof *self->ends);
    if (!self->ends) return DT_OUT_OF_MEMORY;
    char *slots = shm_slot(self, self->comm.rank, 0);
    if (!self->same_process || self->comm.rank == 0) shm_populate(slots, 2 * self->layout.slot_bytes);
    shm_introduce(self);
    self->fenced = true;
    if (!shm_can_order_from_afar()) atomic_store(&self->control->fenced, 1);
    dt_status status = shm_watch(self, text, text_bytes);
    if (status != DT_OK) return shm_fail(self, status, (shm_culprit){self->comm.rank, DT_REASON_LEFT}, "rank %d (pid %d): %.400s", self->comm.rank, getpid(), text);
    status = meet(self, text, text_bytes, self->comm.rank == 0 ? shm_see_in(self, parent) : DT_OK);
    if (status != DT_OK) return status;
    self->cores = shm_cores_of_all(self);
    self->oversubscribed = world > self->cores && !(self->control->flags & DT_ALWAYS_SPIN); /* rank 0's: the sizes below must be the same on all */
    self->fenced = self->oversubscribed || atomic_load(&self->control->fenced); /* sleepers are many there, and locked stores not what takes time */
    self->small_bytes = self->oversubscribed ? CROWDED_SMALL_BYTES : SMALL_BYTES;
    self->mapped_small_bytes = self->oversubscribed ? CROWDED_SMALL_BYTES_MAPPED : SMALL_BYTES_MAPPED;
    if (self->small_bytes > self->segment_bytes) self->small_bytes = self->segment_bytes;
    self->pair_small_bytes = self->oversubscribed ? self->small_bytes : PAIR_SMALL_BYTES;
    return meet(self, text, text_bytes, DT_OK);
}

static void leave(dt_comm *comm) {
    shm *self = shm_of(comm);
    if (!self->own || !self->control) return;
    atomic_store(&self->own->left, 1);
    shm_ring_all(self);
}

static void shm_destroy(dt_comm *comm) {
    shm *self = shm_of(comm);
    leave(comm);
    shm_stop_watching(self);
    shm_release_all(self);
    for (int32_t rank = 0; self->links && rank < comm->world_size; rank++)
        if (self->links[rank] >= 0) close(self->links[rank]);
    free(self->links);
    free(self->ends);
    shm_unmap(self->mapping);
    comm_dispose(comm);
    free(self);
}

dt_status shm_join(const dt_options *options, int listener, shm *parent, dt_comm **comm, char *text, size_t text_bytes) {
    *text = 0;
    shm *self = calloc(1, sizeof *self);
    dt_status status = self ? comm_initialise(&self->comm, &shm_transport, options) : DT_OUT_OF_MEMORY;
    if (status != DT_OK) {
        free(self);
        snprintf(text, text_bytes, "no memory");
        return status;
    }
    self->watcher.stop = -1;
    self->clock_start_ns = nanoseconds_now();
    self->clock_start_ticks = ticks_now();
    self->links = malloc((size_t)options->world_size * sizeof *self->links);
    for (int32_t rank = 0; self->links && rank < options->world_size; rank++) self->links[rank] = -1;
    status = self->links ? shm_connect(options, listener, parent, self, text, text_bytes) : DT_OUT_OF_MEMORY;
    if (status == DT_OK) status = start(self, parent, text, text_bytes);
    if (status != DT_OK) {
        if (!*text) snprintf(text, text_bytes, "rank %d: %s", options->rank, dt_status_text(status));
        shm_destroy(&self->comm);
        return status;
    }
    *comm = &self->comm;
    return DT_OK;
}

static void abort_all(dt_comm *comm, const char *why) {
    shm *self = shm_of(comm);
    char last[200];
    shm_last_call(self, comm->rank, last, sizeof last);
    shm_fail(self, DT_ABORTED, (shm_culprit){comm->rank, DT_REASON_NONE}, "rank %d (pid %d) aborted: %.400s; its %s", comm->rank,
             atomic_load(&self->own->pid), why ? why : "no reason given", last);
}

static dt_status state(dt_comm *comm) { return shm_state(shm_of(comm)); }

static void failure(dt_comm *comm, dt_failure *to, char *text, size_t text_bytes) {
    shm *self = shm_of(comm);
    const shm_failure *from = &self->control->failure;
    dt_status status = shm_state(self);
    bool known = status != DT_OK && atomic_load(&from->state) == SHM_FAILED;
    *to = (dt_failure){.struct_bytes = sizeof *to, .status = status, .rank = -1};
    if (known) {
        to->rank = from->rank;
        to->pid = from->pid;
        to->reason = from->reason;
        to->sequence = from->sequence;
        to->verb = from->verb;
    }
    if (status != DT_OK) snprintf(text, text_bytes, "%s", known ? from->text : "the rank that reported a failure died while writing it");
}

static void describe(dt_comm *comm, dt_description *to) {
    shm *self = shm_of(comm);
    to->same_process = self->same_process;
    to->cores = self->cores;
    to->oversubscribed = self->oversubscribed;
    to->group = self->control->group;
}

const dt_transport shm_transport = {
    .collective = shm_collective,
    .exchange = shm_exchange,
    .split = shm_split,
    .allocate = shm_allocate,
    .release = shm_release,
    .destroy = shm_destroy,
    .leave = leave,
    .abort = abort_all,
    .state = state,
    .failure = failure,
    .describe = describe,
    .records = shm_records,
};
