/* One failure a communicator: the first rank to see it writes it down for all. */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm.h"

enum { WRITING_MS = 200 };

void shm_last_call(shm *self, int32_t rank, char *text, size_t bytes) {
    dt_flight_record last[DT_FLIGHT_RECORDS];
    int64_t count = shm_records(&self->comm, rank, last, DT_FLIGHT_RECORDS);
    if (count == 0) {
        snprintf(text, bytes, "no call yet");
        return;
    }
    const dt_flight_record *r = &last[count - 1];
    char call[160];
    call_text(call, sizeof call, r->sequence, r->verb, r->dtype, r->op, r->root, r->count);
    snprintf(text, bytes, "last call %s, %s", call, r->state == DT_RECORD_ENTERED ? "under way" : r->state == DT_RECORD_DONE ? "done" : "failed");
}

/* Waits for the one who writes it down; should that one die in the middle, goes on without. */
static dt_status written(shm *self) {
    shm_failure *failure = &self->control->failure;
    for (int ms = 0; ms < WRITING_MS; ms++) {
        if (atomic_load_explicit(&failure->state, memory_order_acquire) == SHM_FAILED) return failure->status;
        usleep(1000);
    }
    return DT_PEER_LOST;
}

dt_status shm_state(shm *self) {
    uint32_t state = atomic_load_explicit(&self->control->failure.state, memory_order_acquire);
    if (__builtin_expect(state == SHM_HEALTHY, 1)) return DT_OK;
    return state == SHM_FAILED ? self->control->failure.status : written(self);
}

dt_status shm_fail(shm *self, dt_status status, shm_culprit culprit, const char *format, ...) {
    shm_failure *failure = &self->control->failure;
    uint32_t healthy = SHM_HEALTHY;
    if (!atomic_compare_exchange_strong(&failure->state, &healthy, SHM_FAILING)) return written(self);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->text, sizeof failure->text, format, arguments);
    va_end(arguments);
    failure->status = status;
    failure->rank = culprit.rank;
    failure->reason = culprit.reason;
    if (culprit.rank >= 0) {
        dt_flight_record last[DT_FLIGHT_RECORDS];
        int64_t count = shm_records(&self->comm, culprit.rank, last, DT_FLIGHT_RECORDS);
        failure->pid = atomic_load(&self->ranks[culprit.rank].pid);
        failure->sequence = count ? last[count - 1].sequence : 0;
        failure->verb = count ? (uint64_t)last[count - 1].verb : 0;
    }
    atomic_store(&failure->state, SHM_FAILED);
    shm_ring_all(self);
    return status;
}

void shm_settle(shm *self) {
    if (!self->same_process || atomic_load(&self->control->failure.state) == SHM_HEALTHY) return;
    int64_t end = nanoseconds_now() + atomic_load(&self->comm.timeout_ms) * 1000000;
    for (int32_t rank = 0; rank < self->comm.world_size; rank++)
        while (atomic_load(&self->ranks[rank].reaching) && nanoseconds_now() < end) sched_yield();
}

dt_status shm_late(shm *self) {
    char late[600] = "", mine[200], theirs[200];
    size_t used = 0;
    int32_t first = -1, behind = 0;
    for (int32_t rank = 0; rank < self->comm.world_size; rank++) {
        if (rank == self->comm.rank || atomic_load(&self->ranks[rank].arrival[self->phase & 1].phase) >= self->phase) continue;
        if (first < 0) first = rank;
        behind++;
        shm_last_call(self, rank, theirs, sizeof theirs);
        if (used < sizeof late - 260)
            used += (size_t)snprintf(late + used, sizeof late - used, "%srank %d (pid %d; %s)", used ? ", " : "", rank,
                                     atomic_load(&self->ranks[rank].pid), theirs);
    }
    shm_last_call(self, self->comm.rank, mine, sizeof mine);
    return shm_fail(self, DT_TIMEOUT, (shm_culprit){behind == 1 ? first : -1, DT_REASON_NONE},
                    "rank %d (pid %d) timed out after %lld ms; its %s; not arrived: %s", self->comm.rank, atomic_load(&self->own->pid),
                    (long long)atomic_load(&self->comm.timeout_ms), mine, behind ? late : "nobody any more");
}
