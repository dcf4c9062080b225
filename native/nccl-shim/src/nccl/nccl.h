/* The nccl transport: device memory, calls enqueued on a stream, communicators that do not block.
 *
 * The engine's communicator is touched only by who holds `use`, and by nobody once it has been aborted; so dt_abort may come from any thread at
 * any moment. All waiting is polling, with the lock given back in between, and ends by the communicator's timeout. */
#ifndef DT_NCCL_H
#define DT_NCCL_H

#include <pthread.h>
#include <stdatomic.h>

#include "comm.h"
#include "library.h"

typedef struct nccl_allocation {
    struct nccl_allocation *next;
    void *memory;
    bool by_nccl; /* ncclMemAlloc, not cuMemAlloc */
} nccl_allocation;

typedef struct nccl_record {
    dt_flight_record entry; /* start_ns and duration_ns: of the monotonic clock, and how long */
    cuda_stream stream;
} nccl_record;

typedef struct nccl {
    dt_comm comm;
    const nccl_library *api;
    const cuda_driver *cuda;
    int32_t device_ordinal;
    int device; /* the driver's handle of it */
    cuda_context context;
    bool retained;
    cuda_stream stream;   /* the caller's */
    cuda_stream internal; /* for what the shim itself sends */
    bool has_internal;
    cuda_pointer scratch; /* a word for barriers, then the headers of check mode: own, then all */
    nccl_allocation *allocations;
    int64_t deadline_ns; /* of the call under way */
    uint64_t group;
    unsigned char *headers; /* of all ranks, on the host */

    pthread_mutex_t use; /* guards engine */
    nccl_comm engine;    /* NULL before, and once aborted */
    nccl_comm nobody;    /* where ncclCommSplit puts the NULL of who is in no part */

    _Atomic int32_t failed; /* a status; DT_OK: none */
    pthread_mutex_t failure_lock; /* guards failure, failure_text and the records */
    dt_failure failure;
    char failure_text[DT_TEXT_BYTES];
    uint64_t record_count;
    nccl_record records[DT_FLIGHT_RECORDS];
} nccl;

static inline nccl *nccl_of(dt_comm *comm) { return (nccl *)(void *)comm; }

extern const dt_transport nccl_transport;

/* ---- nccl.c ---- */
dt_status nccl_join(const dt_options *options, dt_comm **comm, char *text, size_t text_bytes);
/* A communicator that has its context and nothing else yet. NULL: text says why, *status too. */
nccl *nccl_create(const dt_options *options, dt_status *status, char *text, size_t text_bytes);
/* What needs the engine's communicator: the internal stream and memory. */
dt_status nccl_complete(nccl *self);
void nccl_destroy(dt_comm *comm);

/* ---- failure.c ---- */
/* Of NCCL's errors. In progress is not one. */
dt_status nccl_status(nccl_result result);
dt_status nccl_state(nccl *self);
/* Writes the failure down, if it is the first; gives the one that holds. */
__attribute__((format(printf, 4, 5))) dt_status nccl_fail(nccl *self, dt_status status, int32_t reason, const char *format, ...);
dt_status nccl_fail_with(nccl *self, const char *what, nccl_result result, const char *last_error);
/* Once failed: aborts the engine's communicator, which wakes its kernels and peers. */
void nccl_settle(nccl *self);

/* ---- wait.c ---- */
/* Begins a call: its deadline, and the device's context made current. nccl_leave undoes the latter and settles a failure. */
dt_status nccl_enter(nccl *self);
dt_status nccl_leave(nccl *self, dt_status status);
/* The engine's communicator for this thread alone; false: it has failed. */
bool nccl_hold(nccl *self);
void nccl_let_go(nccl *self);
/* What a call of NCCL's came to in the end: polls while it is in progress. */
dt_status nccl_finish(nccl *self, const char *what, nccl_result result);
/* Until all of the stream's work is done. */
dt_status nccl_wait_stream(nccl *self, cuda_stream stream, const char *what);
dt_status nccl_check_cuda(nccl *self, const char *what, cuda_result result);

/* ---- verbs.c, check.c, memory.c, split.c ---- */
dt_status nccl_collective(dt_comm *comm, const dt_call *call);
dt_status nccl_exchange(dt_comm *comm, const dt_transfer *transfers, int32_t count);
enum { NCCL_HEADER_BYTES = 48, NCCL_WORD_BYTES = 256 };
/* All ranks compare what they are about to call. */
dt_status nccl_compare(nccl *self, const dt_call *call);
dt_status nccl_allocate(dt_comm *comm, int64_t bytes, uint32_t flags, void **memory);
dt_status nccl_release(dt_comm *comm, void *memory);
void nccl_release_all(nccl *self);
dt_status nccl_split(dt_comm *comm, int32_t color, int32_t key, dt_comm **part);

/* ---- records.c ---- */
uint64_t nccl_record_enter(nccl *self, const dt_call *call);
void nccl_record_end(nccl *self, uint64_t index, dt_status status);
/* All that was enqueued on the stream is done. */
void nccl_record_done(nccl *self, cuda_stream stream);
int64_t nccl_records(dt_comm *comm, int32_t rank, dt_flight_record *records, int64_t capacity);
/* "last call #12 all_reduce(...), under way". The lock is held. */
void nccl_last_call(nccl *self, char *text, size_t text_bytes);

#endif
