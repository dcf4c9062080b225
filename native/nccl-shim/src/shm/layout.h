/* The memory that the ranks of one shm communicator share: a control page, one block a rank, staging slots, channels.
 *
 * Rule of the slots. Every barrier has a number, its phase. What a rank writes into slot[phase % 2] before it arrives at the barrier
 * "phase" is read by others only between that barrier and the next one. So a slot may be written again as soon as its writer has passed
 * the barrier after it: by then all have arrived there, that is, have finished reading. The same holds for the arrival lines.
 */
#ifndef DT_SHM_LAYOUT_H
#define DT_SHM_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#include "../comm.h"

enum {
    SHM_LINE = 128, /* two cache lines: the prefetcher fetches pairs */
    SHM_CHANNEL_CHUNKS = 4,
    SHM_CHUNK_BYTES = 64 * 1024,
    SHM_SLOT_ALIGNMENT = 4096,
    SHM_CPU_WORDS = 16,
    SHM_SEGMENT_BYTES_PAIR = 256 * 1024, /* the defaults: what fits the caches of two ranks, and of more */
    SHM_SEGMENT_BYTES_MANY = 64 * 1024,
    SHM_SEGMENT_BYTES_MIN = 4096,
    SHM_SEGMENT_BYTES_MAX = 64 * 1024 * 1024
};

/* A rank's arrival at a barrier; the first one of a collective carries what it was called with. */
typedef struct shm_arrival {
    _Alignas(SHM_LINE) _Atomic uint64_t phase;
    uint64_t sequence;
    uint64_t signature; /* verb, dtype, op, root */
    uint64_t count;
    uint64_t group;
    uint64_t send, recv; /* where others find the buffers (shm_address), 0: nowhere */
    uint64_t extra;
} shm_arrival;

/* A flight record as it lies in shared memory; relaxed atomics, so that others may read while it is written. */
typedef struct shm_record {
    _Atomic uint64_t sequence, signature, count, start, end, state;
    uint64_t reserved[2];
} shm_record;

/* Written by its rank alone, except for the doorbell. */
typedef struct shm_rank {
    shm_arrival arrival[2];
    _Alignas(SHM_LINE) _Atomic uint32_t doorbell; /* a futex: others add 1 and wake */
    _Alignas(SHM_LINE) _Atomic int32_t pid;
    _Atomic uint64_t start_time; /* field 22 of /proc/pid/stat: tells a process from a later one with its number */
    _Atomic uint64_t pid_namespace; /* 0: not said yet */
    _Atomic uint32_t left;
    _Atomic uint64_t cpus[SHM_CPU_WORDS]; /* that its affinity allows */
    _Atomic int32_t quota;                /* cores' worth of time that its control group allows, 0: no limit */
    _Alignas(SHM_LINE) _Atomic uint32_t reaching; /* 1: works on other ranks' buffers (threads of one process only) */
    _Alignas(SHM_LINE) _Atomic uint64_t records; /* written so far */
    shm_record record[DT_FLIGHT_RECORDS];
} shm_rank;

enum { SHM_HEALTHY = 0, SHM_FAILING = 1, SHM_FAILED = 2 };

typedef struct shm_failure {
    _Atomic uint32_t state;
    dt_status status;
    int32_t rank, pid, reason;
    uint64_t sequence, verb;
    char text[DT_TEXT_BYTES];
} shm_failure;

typedef struct shm_control {
    uint64_t magic;
    int32_t version, world_size;
    uint32_t flags;
    int64_t segment_bytes;
    uint64_t group;
    _Alignas(SHM_LINE) shm_failure failure;
    _Atomic uint32_t fenced; /* some rank has no membarrier */
    _Alignas(SHM_LINE) _Atomic int32_t sleepers;
    _Alignas(SHM_LINE) _Atomic uint32_t awaited[DT_MAX_RANKS_SHM]; /* 0: awake; r + 1: asleep until rank r does something; ~0: anyone */
} shm_control;

/* One message or a piece of it. address != 0: the bytes stay with the sender, at that place. */
typedef struct shm_chunk {
    _Alignas(64) uint64_t message;
    uint64_t message_bytes, bytes, dtype, address;
} shm_chunk;

/* From one rank to another. */
typedef struct shm_channel {
    _Alignas(SHM_LINE) _Atomic uint64_t written; /* chunks, counted by the sender */
    _Alignas(SHM_LINE) _Atomic uint64_t read;    /* chunks, counted by the receiver */
    _Alignas(SHM_LINE) shm_chunk chunk[SHM_CHANNEL_CHUNKS];
    _Alignas(SHM_SLOT_ALIGNMENT) char data[SHM_CHANNEL_CHUNKS][SHM_CHUNK_BYTES];
} shm_channel;

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must work between processes");

/* Where the parts begin; all computed from the number of ranks and the segment. */
typedef struct shm_layout {
    int64_t ranks_at, slots_at, channels_at, bytes;
    int64_t slot_bytes; /* one slot: a segment of input, then a segment of results */
} shm_layout;

shm_layout shm_layout_of(int32_t world_size, int64_t segment_bytes);

#endif
