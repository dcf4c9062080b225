/* The shm transport: ranks of one host, in processes of their own or as threads of one process. */
#ifndef DT_SHM_H
#define DT_SHM_H

#include <stdbool.h>

#include "../comm.h"
#include "layout.h"

/* A mapping that threads of one process share; the last one to leave unmaps it. */
typedef struct shm_mapping {
    int32_t owners;
    uint64_t number; /* for shm_share, 0: not shared */
    struct shm_mapping *next;
    void *base;
    int64_t bytes;
} shm_mapping;

/* Memory from dt_alloc: all ranks' parts in one mapping, stride bytes apart. */
typedef struct shm_allocation {
    uint64_t number;
    shm_mapping *mapping;
    int64_t bytes, stride;
} shm_allocation;

typedef struct shm_channel_end {
    uint64_t sent, sent_messages, received, received_messages;
} shm_channel_end;

typedef struct shm_watcher {
    pthread_t thread;
    bool running;
    int stop; /* an eventfd */
} shm_watcher;

typedef struct shm {
    dt_comm comm;
    shm_mapping *mapping;
    shm_control *control;
    shm_rank *ranks, *own;
    shm_layout layout;
    int64_t segment_bytes, small_bytes, mapped_small_bytes, pair_small_bytes;
    uint64_t phase;
    bool same_process, oversubscribed;
    bool fenced; /* stores that are waited for are locked ones (wait.c) */
    int32_t cores;

    int *links; /* sockets: rank 0 has one to every rank, the others one to rank 0; -1: none */
    shm_watcher watcher;

    shm_allocation **allocations; /* by address */
    int64_t allocation_count, allocation_capacity;
    shm_allocation **by_number; /* by number - 1; NULL: freed */
    uint64_t last_number;

    shm_channel_end *ends; /* by peer */
    uint64_t clock_start_ticks;
    int64_t clock_start_ns;
} shm;

static inline shm *shm_of(dt_comm *comm) { return (shm *)comm; }

/* ---- region.c ---- */
int shm_memory_file(int64_t bytes, char *text, size_t text_bytes); /* a sealed memfd, or -1 */
dt_status shm_map(int file, int64_t bytes, uint32_t flags, shm_mapping **mapping, char *text, size_t text_bytes);
/* Threads of one process hand mappings on by number: whoever takes one is an owner from then on, and there is none to take (NULL) once all
 * owners have gone. So it does not matter who fails when. */
uint64_t shm_share(shm_mapping *mapping);
shm_mapping *shm_take(uint64_t number);
void shm_unmap(shm_mapping *mapping); /* one owner less */
void shm_forget_shared(void);         /* in a forked child, which has no mappings */
void shm_populate(void *from, int64_t bytes);

/* ---- rendezvous.c ---- */
dt_status shm_connect(const dt_options *options, int listener, shm *parent, shm *self, char *text, size_t text_bytes);
/* Rank 0, in front of the first barrier: until all have come there, or have failed or gone. */
dt_status shm_see_in(shm *self, shm *parent);

/* ---- wait.c ---- */
static inline void pause_core(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}
enum { SHM_ANYONE = 0xFFFFFFFFu };
typedef bool (*shm_condition)(shm *self, void *context);
/* Until the condition holds (DT_OK), the communicator failed (its status), or time is up (DT_TIMEOUT; the caller makes it a failure that
 * names who is late). */
dt_status shm_wait(shm *self, shm_condition condition, void *context, uint32_t awaited);
void shm_ring(shm *self); /* wakes those who wait for this rank */
bool shm_can_order_from_afar(void);
/* Stores what others may wait for, after all that was written before. */
static inline void shm_publish(shm *self, _Atomic uint64_t *word, uint64_t value) {
    if (self->fenced)
        atomic_exchange(word, value);
    else
        atomic_store_explicit(word, value, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(atomic_load(&self->control->sleepers) > 0, 0)) shm_ring(self);
}
void shm_ring_all(shm *self);

/* ---- failure.c ---- */
typedef struct shm_culprit {
    int32_t rank, reason;
} shm_culprit;
__attribute__((format(printf, 4, 5))) dt_status shm_fail(shm *self, dt_status status, shm_culprit culprit, const char *format, ...);
dt_status shm_state(shm *self);
dt_status shm_late(shm *self); /* the failure of a barrier whose time is up */
void shm_last_call(shm *self, int32_t rank, char *text, size_t bytes);
/* Threads of one process work on each other's buffers where they lie. Who does so says it before and after; who failed waits for the end of
 * it before its call returns, for then its caller may free the buffers. False: the communicator has failed, keep off. */
static inline bool shm_reach(shm *self) {
    if (!self->same_process) return true;
    atomic_store(&self->own->reaching, 1); /* either this one sees the failure below, or who failed sees this */
    if (atomic_load(&self->control->failure.state) == SHM_HEALTHY) return true;
    atomic_store(&self->own->reaching, 0);
    return false;
}
static inline void shm_let_go(shm *self) {
    if (self->same_process) atomic_store_explicit(&self->own->reaching, 0, memory_order_release);
}
void shm_settle(shm *self); /* behind a failure: until no rank works on this one's buffers, nor will; at most for the timeout */

/* ---- barrier.c ---- */
uint64_t shm_signature(const dt_call *call);
dt_status shm_barrier(shm *self);
/* The first barrier of a collective: checks that all called the same. */
dt_status shm_begin(shm *self, const dt_call *call, uint64_t send, uint64_t recv, uint64_t extra);
/* What a rank said at the last barrier. */
static inline const shm_arrival *shm_said(const shm *self, int32_t rank) { return &self->ranks[rank].arrival[self->phase & 1]; }

/* ---- slots.c ---- */
/* A rank's slot of a phase: a segment of input, then a segment of results. */
static inline char *shm_slot(const shm *self, int32_t rank, uint64_t phase) {
    return (char *)self->mapping->base + self->layout.slots_at + (2 * rank + (int64_t)(phase & 1)) * self->layout.slot_bytes;
}

/* ---- allocation.c ---- */
/* Where others find these bytes of this rank, 0: nowhere. */
uint64_t shm_address_of(shm *self, const void *from, int64_t bytes);
char *shm_at(shm *self, int32_t rank, uint64_t address);
/* NULL: there are no such bytes. */
char *shm_checked(shm *self, int32_t rank, uint64_t address, uint64_t bytes);
dt_status shm_allocate(dt_comm *comm, int64_t bytes, uint32_t flags, void **memory);
dt_status shm_release(dt_comm *comm, void *memory);
void shm_release_all(shm *self);

/* ---- collectives ---- */
dt_status shm_collective(dt_comm *comm, const dt_call *call);
dt_status shm_mapped(shm *self, const dt_call *call); /* after shm_begin */
dt_status shm_staged(shm *self, const dt_call *call, bool *mapped);
dt_status shm_exchange(dt_comm *comm, const dt_transfer *transfers, int32_t count);
dt_status shm_split(dt_comm *comm, int32_t color, int32_t key, dt_comm **part);

/* ---- records.c ---- */
uint64_t shm_record_enter(shm *self, const dt_call *call);
void shm_record_leave(shm *self, uint64_t index, dt_status status, bool mapped);
int64_t shm_records(dt_comm *comm, int32_t rank, dt_flight_record *records, int64_t capacity);
uint64_t ticks_now(void);
int64_t nanoseconds_now(void);

/* ---- watcher.c ---- */
dt_status shm_watch(shm *self, char *text, size_t text_bytes);
void shm_stop_watching(shm *self);
uint64_t process_start_time(int32_t pid, char *state);

/* ---- cores.c ---- */
void shm_introduce(shm *self); /* what others have to know of this rank */
int32_t shm_cores_of_all(shm *self);

/* ---- transport ---- */
extern const dt_transport shm_transport;
dt_status shm_join(const dt_options *options, int listener, shm *parent, dt_comm **comm, char *text, size_t text_bytes);

#endif
