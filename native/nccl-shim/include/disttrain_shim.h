/* DistTrain's collectives behind one C interface: NCCL-shaped, prefixed, fixed-width.
 *
 * Conventions
 *   - Every function but dt_abi_version, dt_status_text and dt_dtype_bytes returns a dt_status; DT_OK is 0. No argument crashes
 *     the process: a bad one is DT_INVALID_ARGUMENT with a text (dt_last_error).
 *   - A communicator is used by one thread at a time (a second one gets DT_INVALID_USAGE). dt_abort, dt_leave, dt_status_now, dt_failure_info,
 *     dt_last_error, dt_flight_records and dt_comm_describe may be called from any thread at any time.
 *   - Collectives block; every wait ends by the communicator's timeout at the latest. They must be called by all ranks in one order.
 *     On nccl buffers are device memory, and calls are enqueued on the stream (dt_set_stream): they return when they are enqueued, and
 *     dt_synchronize waits until they are done.
 *   - A forked child has none of its parent's communicators: every call on one is DT_INVALID_ARGUMENT there.
 *   - After a failure (timeout, mismatch, lost peer, abort) the communicator is dead: every call on it returns that status at once.
 *     mpi: the buffers of the call that failed must stay allocated until the process ends, MPI may still write them.
 *     shm: they may be freed; between threads of one process the failed call has waited for peers that were at work on them.
 *   - Counts are elements. Buffers need no alignment. send == recv means in place; otherwise the two must not overlap.
 *   - Results of reductions are the same bits on all ranks and from run to run. (nccl: as NCCL gives them.)
 */
#ifndef DISTTRAIN_SHIM_H
#define DISTTRAIN_SHIM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DT_API __attribute__((visibility("default")))

/* Raised whenever a signature, a struct or a number below changes its meaning. */
#define DT_ABI_VERSION 3

typedef struct dt_comm dt_comm;
typedef int32_t dt_status;

enum {
    DT_OK = 0,
    DT_INVALID_ARGUMENT = 1, /* nothing was sent; the communicator lives on */
    DT_INVALID_USAGE = 2,    /* two threads at once, a group misused */
    DT_UNSUPPORTED = 3,      /* this transport or machine cannot do it */
    DT_OUT_OF_MEMORY = 4,
    DT_SYSTEM_ERROR = 5, /* a system call failed; the text has errno */
    DT_REFUSED = 6,      /* rendezvous: another job, another world, a stranger */
    DT_TIMEOUT = 7,      /* the text names who has not arrived */
    DT_MISMATCH = 8,     /* ranks called different collectives; the text names both */
    DT_PEER_LOST = 9,    /* a peer died, was stopped or left */
    DT_ABORTED = 10,     /* dt_abort, by this rank or another */
    DT_INTERNAL_ERROR = 11
};

enum { DT_TRANSPORT_SHM = 1, DT_TRANSPORT_MPI = 2, DT_TRANSPORT_NCCL = 3 };

enum { DT_F32 = 0, DT_F64 = 1, DT_I32 = 2, DT_I64 = 3, DT_F16 = 4, DT_BF16 = 5 };

/* Integers wrap around. f16 and bf16 are summed and averaged in f32 and rounded once. MIN and MAX give NaN where any input is NaN.
 * The average of integers is the wrapped sum divided by the number of ranks, rounded towards zero. */
enum { DT_SUM = 0, DT_PRODUCT = 1, DT_MIN = 2, DT_MAX = 3, DT_AVERAGE = 4 };

/* Names of calls in flight records and errors. */
enum {
    DT_VERB_BARRIER = 1,
    DT_VERB_ALL_REDUCE = 2,
    DT_VERB_REDUCE_SCATTER = 3,
    DT_VERB_ALL_GATHER = 4,
    DT_VERB_BROADCAST = 5,
    DT_VERB_REDUCE = 6,
    DT_VERB_ALL_TO_ALL = 7,
    DT_VERB_SEND = 8,
    DT_VERB_RECV = 9,
    DT_VERB_RECV_REDUCE = 10,
    DT_VERB_ALLOC = 11,
    DT_VERB_FREE = 12,
    DT_VERB_SPLIT = 13
};

enum {
    /* For every element a balanced binary tree over the rank index (left part: the largest power of two below the number of ranks),
     * whatever the sizes. shm always does so; a transport that cannot refuses the flag. */
    DT_FIXED_ORDER = 1,
    /* Ask for huge pages (dt_alloc). Ignored where the kernel has none to give. */
    DT_HUGE_PAGES = 2,
    /* Never sleep before spinning, even if ranks outnumber cores. For measurements. Rank 0's flag holds. */
    DT_ALWAYS_SPIN = 4,
    /* Before each collective all ranks compare what they called; a difference is DT_MISMATCH on all. shm always does so. */
    DT_CHECK_CALLS = 8
};

enum { DT_MAX_RANKS_SHM = 128, DT_FLIGHT_RECORDS = 256, DT_SECRET_BYTES_MAX = 64, DT_ADDRESS_BYTES_MAX = 100, DT_UNIQUE_ID_BYTES = 128 };

typedef struct dt_options {
    int64_t struct_bytes; /* sizeof(dt_options) */
    int32_t transport;
    int32_t rank;       /* mpi: -1 with world_size 0 asks MPI; other numbers must be MPI's */
    int32_t world_size;
    uint32_t flags;
    int64_t timeout_ms;    /* of every wait, the rendezvous included; more than 0 */
    int64_t segment_bytes; /* staging segment of ordinary memory; 0: the default. Rank 0's holds */
    const char *address;   /* shm: "@name" (abstract socket) or an absolute path in a private directory */
    const void *secret;    /* shm, more than one rank: 1 to 64 bytes, the job's */
    int64_t secret_bytes;
    const void *unique_id; /* nccl: what dt_nccl_unique_id gave rank 0, on all ranks */
    int64_t unique_id_bytes;
    int32_t device; /* nccl: the CUDA device's ordinal */
    int32_t reserved;
} dt_options;

typedef struct dt_description {
    int64_t struct_bytes; /* sizeof(dt_description), set by the caller */
    int32_t transport;
    int32_t rank;
    int32_t world_size;
    uint32_t flags;
    int32_t same_process;   /* 1: all ranks are threads of this process; every buffer is reduced without staging */
    int32_t cores;          /* that the ranks may use, all together */
    int32_t oversubscribed; /* 1: ranks outnumber those cores; waits yield instead of spinning */
    int32_t instruction_set_bits; /* vector width of the reductions: 128, 256 or 512 */
    uint64_t group;         /* random, equal on all ranks of the communicator */
    uint64_t sequence;      /* collectives called so far */
} dt_description;

typedef struct dt_failure {
    int64_t struct_bytes; /* sizeof(dt_failure), set by the caller */
    dt_status status;     /* DT_OK: no failure */
    int32_t rank;         /* whose fault it was, -1: of nobody in particular */
    int32_t pid;
    int32_t reason;      /* one of DT_REASON_* */
    uint64_t sequence;   /* that rank's last collective; 0: none */
    uint64_t verb;
} dt_failure;

enum { DT_REASON_NONE = 0, DT_REASON_DIED = 1, DT_REASON_STOPPED = 2, DT_REASON_LEFT = 3 };

enum { DT_RECORD_ENTERED = 1, DT_RECORD_DONE = 2, DT_RECORD_FAILED = 3 };

typedef struct dt_flight_record {
    uint64_t sequence;
    int32_t verb, dtype, op, root; /* root: the peer in send and recv */
    int64_t count;
    int64_t start_ns; /* before now, when the record is read: 5000 is 5 microseconds ago */
    int64_t duration_ns; /* 0 while it is under way */
    int32_t state;
    int32_t mapped; /* 1: reduced in place, 0: staged */
    uint64_t reserved;
} dt_flight_record;

typedef struct dt_transfer {
    int32_t verb; /* DT_VERB_SEND, DT_VERB_RECV or DT_VERB_RECV_REDUCE (buffer = op(received, buffer)) */
    int32_t peer;
    int32_t dtype;
    int32_t op; /* RECV_REDUCE only; AVERAGE is refused */
    void *buffer;
    int64_t count;
} dt_transfer;

/* ---- The library ---- */
DT_API int32_t dt_abi_version(void);
DT_API const char *dt_status_text(dt_status status);
/* 0 for an unknown type. */
DT_API int64_t dt_dtype_bytes(int32_t dtype);
/* DT_OK, or DT_UNSUPPORTED with the reason. Loads nothing for good. */
DT_API dt_status dt_transport_available(int32_t transport, char *reason, int64_t reason_bytes);

/* nccl: 128 bytes that name a world about to be made. Rank 0 asks for them and hands them to all. Loads NCCL for good. */
DT_API dt_status dt_nccl_unique_id(void *id, int64_t id_bytes, char *error, int64_t error_bytes);

/* ---- Communicators ---- */
/* Joins the world; collective. On failure *comm is NULL and error has the text. */
DT_API dt_status dt_comm_init(const dt_options *options, dt_comm **comm, char *error, int64_t error_bytes);
/* Collective. Ranks of one color form a communicator, ordered by (key, rank). color < 0: none, *part becomes NULL. */
DT_API dt_status dt_comm_split(dt_comm *comm, int32_t color, int32_t key, dt_comm **part);
/* Local. Says that this rank will call nothing more: who still needs it fails at once (DT_PEER_LOST). dt_comm_destroy says it too; this is for
 * who keeps the communicator's memory for longer. shm; elsewhere nothing happens before dt_comm_destroy. */
DT_API dt_status dt_leave(dt_comm *comm);
/* Local. Frees everything that belongs to the communicator, its registered memory included. */
DT_API dt_status dt_comm_destroy(dt_comm *comm);
DT_API dt_status dt_comm_describe(dt_comm *comm, dt_description *description);
DT_API dt_status dt_set_timeout(dt_comm *comm, int64_t timeout_ms);

/* ---- Failures ---- */
/* Kills the communicator on every rank and wakes all who wait. why may be NULL. */
DT_API dt_status dt_abort(dt_comm *comm, const char *why);
/* The status of the communicator, without waiting. */
DT_API dt_status dt_status_now(dt_comm *comm);
DT_API dt_status dt_failure_info(dt_comm *comm, dt_failure *failure);
/* The text of the communicator's failure, else of this rank's last refused call. */
DT_API dt_status dt_last_error(dt_comm *comm, char *text, int64_t text_bytes);
/* The last calls of a rank (also of a dead one), oldest first; *count: how many were written. An exchange shows as its first transfer,
 * with the sequence of the collective before it. */
DT_API dt_status dt_flight_records(dt_comm *comm, int32_t rank, dt_flight_record *records, int64_t capacity, int64_t *count);

/* ---- Memory that all peers have mapped ---- */
/* Collective, equal bytes on all ranks; zeroed, aligned to pages. Lives until dt_free or the communicator's end; its contents are
 * undefined after a failure. */
DT_API dt_status dt_alloc(dt_comm *comm, int64_t bytes, uint32_t flags, void **memory);
/* Collective; on a dead communicator local. */
DT_API dt_status dt_free(dt_comm *comm, void *memory);

/* ---- Collectives ---- */
DT_API dt_status dt_barrier(dt_comm *comm);
DT_API dt_status dt_all_reduce(dt_comm *comm, const void *send, void *recv, int64_t count, int32_t dtype, int32_t op);
/* send: world_size * recv_count. In place: recv == send + rank * recv_count. */
DT_API dt_status dt_reduce_scatter(dt_comm *comm, const void *send, void *recv, int64_t recv_count, int32_t dtype, int32_t op);
/* recv: world_size * send_count. In place: send == recv + rank * send_count. */
DT_API dt_status dt_all_gather(dt_comm *comm, const void *send, void *recv, int64_t send_count, int32_t dtype);
/* send is read on the root, recv written on all. */
DT_API dt_status dt_broadcast(dt_comm *comm, const void *send, void *recv, int64_t count, int32_t dtype, int32_t root);
/* recv is written on the root alone. */
DT_API dt_status dt_reduce(dt_comm *comm, const void *send, void *recv, int64_t count, int32_t dtype, int32_t op, int32_t root);
/* send and recv: world_size * count; part p of send goes to rank p. */
DT_API dt_status dt_all_to_all(dt_comm *comm, const void *send, void *recv, int64_t count, int32_t dtype);

/* ---- Streams ---- */
/* nccl: the CUDA stream (of the device's primary context) that the following calls are enqueued on; NULL: the default stream. Other
 * transports: DT_UNSUPPORTED. */
DT_API dt_status dt_set_stream(dt_comm *comm, void *cu_stream);
/* Waits until all that was enqueued on the stream is done, at most for the timeout; after a timeout or an error of NCCL's the
 * communicator is aborted. Where calls block there is nothing to wait for. */
DT_API dt_status dt_synchronize(dt_comm *comm);

/* ---- Point to point ---- */
DT_API dt_status dt_send(dt_comm *comm, const void *send, int64_t count, int32_t dtype, int32_t peer);
DT_API dt_status dt_recv(dt_comm *comm, void *recv, int64_t count, int32_t dtype, int32_t peer);
/* All transfers at once, in one call: what a group of sends and receives does. Transfers with one peer in one direction keep order. */
DT_API dt_status dt_exchange(dt_comm *comm, const dt_transfer *transfers, int32_t count);
/* Between the two, dt_send and dt_recv only note what dt_group_end then does at once. Collectives are refused inside. */
DT_API dt_status dt_group_start(dt_comm *comm);
DT_API dt_status dt_group_end(dt_comm *comm);

/* ---- Arithmetic of this machine, without a communicator ---- */
/* out = op(left, right); out may be left or right. */
DT_API dt_status dt_reduce_local(void *out, const void *left, const void *right, int64_t count, int32_t dtype, int32_t op);

#ifdef __cplusplus
}
#endif
#endif
