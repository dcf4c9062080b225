/* A communicator: what is common to all transports. */
#ifndef DT_COMM_H
#define DT_COMM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "disttrain_shim.h"
#include "reduce.h"

enum { DT_TEXT_BYTES = 1024, DT_GROUP_TRANSFERS_MAX = 4096 };

/* One collective as its caller asked for it. Equal on all ranks except for the two buffers. */
typedef struct dt_call {
    int32_t verb, dtype, op, root;
    const char *send;
    char *recv;
    int64_t count;
} dt_call;

typedef struct dt_transport dt_transport;

struct dt_comm {
    uint64_t magic;
    const dt_transport *transport;
    const reduce_table *kernels;
    int32_t transport_number, rank, world_size;
    uint32_t flags;
    _Atomic int64_t timeout_ms;
    _Atomic int32_t busy; /* 1: a thread is inside a call */
    uint64_t sequence; /* written by comm_count_call alone, read from any thread by comm_calls */

    dt_comm *next, *previous; /* of all that live */

    pthread_mutex_t text_lock; /* guards text */
    char text[DT_TEXT_BYTES];

    bool grouped; /* between dt_group_start and dt_group_end */
    dt_transfer *group;
    int32_t group_count, group_capacity;
};

/* What a transport can do. Arguments have been checked, the communicator is held by this thread alone. */
struct dt_transport {
    dt_status (*collective)(dt_comm *comm, const dt_call *call);
    dt_status (*exchange)(dt_comm *comm, const dt_transfer *transfers, int32_t count);
    dt_status (*split)(dt_comm *comm, int32_t color, int32_t key, dt_comm **part);
    dt_status (*allocate)(dt_comm *comm, int64_t bytes, uint32_t flags, void **memory);
    dt_status (*release)(dt_comm *comm, void *memory);
    void (*destroy)(dt_comm *comm);
    /* Where collectives are enqueued rather than done; NULL elsewhere. */
    dt_status (*set_stream)(dt_comm *comm, void *stream);
    dt_status (*synchronize)(dt_comm *comm);
    /* From any thread, at any time: */
    void (*leave)(dt_comm *comm); /* NULL: destroy says it */
    void (*abort)(dt_comm *comm, const char *why);
    dt_status (*state)(dt_comm *comm);
    void (*failure)(dt_comm *comm, dt_failure *failure, char *text, size_t text_bytes);
    void (*describe)(dt_comm *comm, dt_description *description);
    int64_t (*records)(dt_comm *comm, int32_t rank, dt_flight_record *records, int64_t capacity);
};

dt_status comm_initialise(dt_comm *comm, const dt_transport *transport, const dt_options *options);
void comm_dispose(dt_comm *comm);

/* Collectives called so far: counted by the thread that calls, read from any. */
static inline uint64_t comm_calls(const dt_comm *comm) { return __atomic_load_n(&comm->sequence, __ATOMIC_RELAXED); }
static inline void comm_count_call(dt_comm *comm) { __atomic_store_n(&comm->sequence, comm->sequence + 1, __ATOMIC_RELAXED); }

/* Notes a text for dt_last_error and returns status. */
__attribute__((format(printf, 3, 4))) dt_status comm_error(dt_comm *comm, dt_status status, const char *format, ...);

/* ---- calls.c: names and sizes ---- */
const char *verb_name(int32_t verb);
const char *dtype_name(int32_t dtype);
const char *op_name(int32_t op);
/* "#12 all_reduce(f32, sum, 1000 elements)" */
void call_text(char *text, size_t bytes, uint64_t sequence, int32_t verb, int32_t dtype, int32_t op, int32_t root, int64_t count);

/* Bytes alone, for the shim's own use: never accepted from a caller. */
enum { DTYPE_BYTE = 100 };
int64_t dtype_bytes(int32_t dtype);

/* Cores' worth of time that the control group leaves to this process, rounded up; 0: no limit is known. */
int32_t core_quota(void);
/* Of the monotonic clock. */
int64_t nanoseconds_now(void);

#endif
