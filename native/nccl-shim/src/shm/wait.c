/* Waiting: spin while every rank has a core, yield where ranks outnumber cores, then sleep on a futex.
 *
 * No wake-up is lost: who publishes stores first and then looks for sleepers; who sleeps says so first and then looks at the condition.
 * At least one of the two must see the other. Where that is left to the publisher (fenced), its store is a locked exchange, which waits until
 * all stores before it have reached the other core. Otherwise the sleeper pays: membarrier has every core that runs a rank order its stores
 * and loads, once, and the publisher's store stays a plain one. */
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shm.h"

/* Waking a sleeper may take 100 us on an idle virtual core: who sleeps sooner than that makes the others sleep, too. So spinning goes on for
 * longer; but after a few microseconds with an offer of the core in between, for the awaited rank may want this very one. */
enum { SPIN_NS = 4 * 1000, LOOK_NS = 2000 * 1000, LOOK_OVERSUBSCRIBED_NS = 100 * 1000, SPINS_BETWEEN_LOOKS = 32, SLEEP_MS = 50 };

static void futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t ms) {
    struct timespec limit = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0);
}

static void ring_rank(shm *self, int32_t rank) {
    _Atomic uint32_t *doorbell = &self->ranks[rank].doorbell;
    atomic_fetch_add(doorbell, 1);
    syscall(SYS_futex, doorbell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

bool shm_can_order_from_afar(void) { return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0; }

void shm_ring(shm *self) {
    for (int32_t rank = 0; rank < self->comm.world_size; rank++) {
        uint32_t awaited = atomic_load(&self->control->awaited[rank]);
        if (awaited == SHM_ANYONE || awaited == (uint32_t)self->comm.rank + 1) ring_rank(self, rank);
    }
}

void shm_ring_all(shm *self) {
    for (int32_t rank = 0; rank < self->comm.world_size; rank++) ring_rank(self, rank);
}

/* Until something may have changed: a ring, or a little while. */
static void sleep_once(shm *self, shm_condition condition, void *context, uint32_t awaited) {
    _Atomic uint32_t *word = &self->control->awaited[self->comm.rank];
    uint32_t rings = atomic_load(&self->own->doorbell);
    atomic_store(word, awaited);
    atomic_fetch_add(&self->control->sleepers, 1);
    if (!self->fenced) syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
    if (!condition(self, context)) futex_wait(&self->own->doorbell, rings, SLEEP_MS);
    atomic_fetch_sub(&self->control->sleepers, 1);
    atomic_store(word, 0);
}

/* True: the condition holds. False after a while, or if the communicator failed. */
static bool look(shm *self, shm_condition condition, void *context, int64_t *now) {
    int64_t start = *now = nanoseconds_now(), limit = self->oversubscribed ? LOOK_OVERSUBSCRIBED_NS : LOOK_NS;
    do {
        if (self->oversubscribed) {
            if (condition(self, context)) return true;
            sched_yield();
        } else {
            for (int spin = 0; spin < SPINS_BETWEEN_LOOKS; spin++) {
                if (condition(self, context)) return true;
                pause_core();
            }
            if (*now - start > SPIN_NS) sched_yield();
        }
        if (atomic_load_explicit(&self->control->failure.state, memory_order_relaxed) != SHM_HEALTHY) return false;
        *now = nanoseconds_now();
    } while (*now - start < limit);
    return false;
}

dt_status shm_wait(shm *self, shm_condition condition, void *context, uint32_t awaited) {
    int64_t now = 0, start = 0;
    for (;;) {
        if (look(self, condition, context, &now)) return DT_OK;
        dt_status status = shm_state(self);
        if (status != DT_OK) return condition(self, context) ? DT_OK : status; /* what came before the failure counts */
        if (start == 0) start = now;
        int64_t waited_ms = (now - start) / 1000000;
        if (waited_ms >= atomic_load_explicit(&self->comm.timeout_ms, memory_order_relaxed)) return DT_TIMEOUT;
        do {
            sleep_once(self, condition, context, awaited);
            if (condition(self, context)) return DT_OK;
            if (atomic_load_explicit(&self->control->failure.state, memory_order_relaxed) != SHM_HEALTHY) break;
            now = nanoseconds_now();
            waited_ms = (now - start) / 1000000;
        } while (waited_ms < atomic_load_explicit(&self->comm.timeout_ms, memory_order_relaxed));
    }
}
