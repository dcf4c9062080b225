/* The flight recorder: each rank's last calls, in shared memory, so that they outlive their process. */
#include <time.h>

#include "shm.h"

int64_t nanoseconds_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* A third of the price of the clock; converted when a record is read. */
uint64_t ticks_now(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return (uint64_t)nanoseconds_now();
#endif
}

static void put(_Atomic uint64_t *to, uint64_t value) { atomic_store_explicit(to, value, memory_order_relaxed); }
static uint64_t get(const _Atomic uint64_t *from) { return atomic_load_explicit(from, memory_order_relaxed); }

uint64_t shm_record_enter(shm *self, const dt_call *call) {
    uint64_t index = get(&self->own->records);
    shm_record *record = &self->own->record[index % DT_FLIGHT_RECORDS];
    put(&record->state, 0);
    put(&record->sequence, self->comm.sequence);
    put(&record->signature, shm_signature(call));
    put(&record->count, (uint64_t)call->count);
    put(&record->start, ticks_now());
    put(&record->end, 0);
    put(&record->state, DT_RECORD_ENTERED);
    atomic_store_explicit(&self->own->records, index + 1, memory_order_release);
    return index;
}

void shm_record_leave(shm *self, uint64_t index, dt_status status, bool mapped) {
    shm_record *record = &self->own->record[index % DT_FLIGHT_RECORDS];
    put(&record->end, ticks_now());
    put(&record->state, (status == DT_OK ? DT_RECORD_DONE : DT_RECORD_FAILED) | (mapped ? 256u : 0u));
}

int64_t shm_records(dt_comm *comm, int32_t rank, dt_flight_record *records, int64_t capacity) {
    shm *self = shm_of(comm);
    shm_rank *of = &self->ranks[rank];
    uint64_t end = atomic_load_explicit(&of->records, memory_order_acquire), now = ticks_now();
    uint64_t first = end > DT_FLIGHT_RECORDS ? end - DT_FLIGHT_RECORDS : 0;
    if (end - first > (uint64_t)capacity) first = end - (uint64_t)capacity;
    double scale = (double)(nanoseconds_now() - self->clock_start_ns) / (double)(now - self->clock_start_ticks + 1);
    int64_t count = 0;
    for (uint64_t index = first; index < end; index++) {
        const shm_record *from = &of->record[index % DT_FLIGHT_RECORDS];
        uint64_t signature = get(&from->signature), start = get(&from->start), stop = get(&from->end), state = get(&from->state);
        if (state == 0) continue; /* being overwritten */
        records[count++] = (dt_flight_record){
            .sequence = get(&from->sequence),
            .verb = (int32_t)(signature & 255),
            .dtype = (int32_t)(signature >> 8 & 255),
            .op = (int32_t)(signature >> 16 & 255),
            .root = (int32_t)(signature >> 32),
            .count = (int64_t)get(&from->count),
            .start_ns = (int64_t)((double)(int64_t)(now - start) * scale),
            .duration_ns = stop ? (int64_t)((double)(int64_t)(stop - start) * scale) : 0,
            .state = (int32_t)(state & 255),
            .mapped = (state & 256) != 0,
        };
    }
    return count;
}
