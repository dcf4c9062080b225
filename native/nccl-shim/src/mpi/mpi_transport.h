/* The mpi transport: processes that an MPI launcher started. */
#ifndef DT_MPI_TRANSPORT_H
#define DT_MPI_TRANSPORT_H

#include "../comm.h"
#include "library.h"

enum { MPI_TEXT_BYTES = 512, MPI_RANKS_MAX = REDUCE_SOURCES_MAX * REDUCE_SOURCES_MAX, MPI_WINDOW = 4, MPI_CPU_WORDS = 16 };
enum { MPI_SEGMENT_BYTES = 512 * 1024, MPI_SEGMENT_BYTES_MIN = 4096, MPI_SEGMENT_BYTES_MAX = 64 << 20 };

/* A call as others have to know it. */
typedef struct mpi_said {
    uint64_t sequence;
    int64_t count;
    int32_t verb, dtype, op, root;
} mpi_said;

/* A posted send or receive. */
typedef struct mpi_request {
    mpi_handle handle;
    int64_t bytes; /* wanted by a receive, -1: any number */
    int32_t peer;  /* -1: all */
    bool active, receives;
} mpi_request;

enum { MPI_NEWS_FAILED = 1, MPI_NEWS_ARRIVED = 2, MPI_NEWS_LEFT = 3 };

/* What ranks tell each other beside the data. */
typedef struct mpi_news {
    uint64_t group;
    int32_t kind, rank, pid;
    dt_status status;
    int32_t culprit, culprit_pid, reason;
    mpi_said said;
    uint64_t verb, sequence; /* of the culprit's last collective */
    char text[MPI_TEXT_BYTES];
} mpi_news;

typedef struct mpi_outgoing mpi_outgoing;

/* What each rank says of itself when a communicator begins. */
typedef struct mpi_introduction {
    uint64_t host, group;
    uint64_t cpus[MPI_CPU_WORDS];
    int64_t segment_bytes;
    int32_t pid, version, quota;
    uint32_t flags;
} mpi_introduction;

typedef struct mpi_record {
    _Atomic uint64_t sequence, verb, dtype, op, root, count, start, end, state;
} mpi_record;

typedef struct mpi {
    dt_comm comm;
    const mpi_adapter *adapter;
    mpi_handle work, pairs, news; /* communicators: of collectives, of sends and receives, of what goes beside */
    uint64_t group;
    int64_t segment_bytes;
    int32_t cores;
    bool oversubscribed; /* ranks outnumber this host's cores */
    bool crowded;        /* some rank's are, in a small world: equal on all */
    int32_t *pids; /* by rank */

    /* Waiting. */
    uint32_t tests, calls;
    int64_t wait_start_ns;
    int32_t awaited; /* the rank that is waited for, -1: all */
    bool announced;
    mpi_said now;   /* the call that is under way */
    bool exchanging; /* it is one between pairs */

    /* News; all under news_lock but the two atomics. */
    pthread_mutex_t news_lock;
    mpi_outgoing *outgoing;
    mpi_said *said; /* by rank: what a waiting rank last said */
    bool *left;
    _Atomic int32_t leavers;
    _Atomic int32_t failed; /* 0: no, 1: being written, 2: failure holds */
    mpi_news failure;

    void **memory; /* from dt_alloc */
    int64_t memory_count;
    char *scratch;
    int64_t scratch_bytes;
    mpi_request *requests; /* 8 for every rank */

    mpi_record record[DT_FLIGHT_RECORDS];
    _Atomic uint64_t records;
} mpi;

static inline mpi *mpi_of(dt_comm *comm) { return (mpi *)comm; }

/* ---- news.c ---- */
dt_status mpi_state(mpi *self);
typedef struct mpi_culprit {
    int32_t rank, reason;
} mpi_culprit;
/* Kills the communicator and tells all ranks. */
__attribute__((format(printf, 4, 5))) dt_status mpi_fail(mpi *self, dt_status status, mpi_culprit culprit, const char *format, ...);
dt_status mpi_error(mpi *self, int code, const char *call); /* the failure of an MPI call */
void mpi_poll_news(mpi *self);
void mpi_announce(mpi *self);  /* tells all what this rank waits in */
void mpi_say_farewell(mpi *self);
void mpi_forget_news(mpi *self);

/* ---- wait.c ---- */
void mpi_begin_wait(mpi *self, int32_t awaited);
/* After a look that found nothing: gives others the core, reads the news now and then, ends the wait when time is up. */
dt_status mpi_idle(mpi *self);
dt_status mpi_post_send(mpi *self, mpi_handle comm, mpi_request *request, const void *from, int64_t bytes, int32_t peer, int32_t tag);
dt_status mpi_post_receive(mpi *self, mpi_handle comm, mpi_request *request, void *to, int64_t bytes, int32_t peer, int32_t tag);
/* One look; *done: it is over and, if a receive, was as long as wanted (else the communicator fails). tag: the wanted one, becomes the one that
 * came; if it is another, failing is left to the caller. May be NULL. */
dt_status mpi_look(mpi *self, mpi_request *request, bool *done, int32_t *tag);
dt_status mpi_complete(mpi *self, mpi_request *request); /* waits; nothing to do if it is not active */
void mpi_abandon(mpi *self, mpi_request *requests, int32_t count);

/* ---- streams.c ---- */
dt_status mpi_exchange(dt_comm *comm, const dt_transfer *transfers, int32_t count);
dt_status mpi_stream(mpi *self, mpi_handle comm, const dt_transfer *transfers, int32_t count);
char *mpi_scratch(mpi *self, int64_t bytes);

/* ---- verbs ---- */
dt_status mpi_collective(dt_comm *comm, const dt_call *call);
dt_status mpi_compare_calls(mpi *self);
dt_status mpi_barrier(mpi *self);
/* Equal bytes of every rank to all; from may be its own place in to. bytes * ranks stay below 2^31. */
dt_status mpi_gather_all(mpi *self, const void *from, void *to, int64_t bytes);
dt_status mpi_move(mpi *self, const dt_call *call);   /* broadcast, all_gather, all_to_all */
dt_status mpi_reduce(mpi *self, const dt_call *call); /* all_reduce, reduce_scatter, reduce */
dt_status mpi_split(dt_comm *comm, int32_t color, int32_t key, dt_comm **part);

/* ---- records.c ---- */
uint64_t mpi_record_enter(mpi *self, const dt_call *call);
void mpi_record_leave(mpi *self, uint64_t index, dt_status status);
int64_t mpi_records(dt_comm *comm, int32_t rank, dt_flight_record *records, int64_t capacity);

/* ---- join.c, transport ---- */
extern const dt_transport mpi_transport;
dt_status mpi_join(const dt_options *options, dt_comm **comm, char *text, size_t text_bytes);
/* Takes the communicator base over, also if it fails. */
dt_status mpi_make(const dt_options *options, const mpi_adapter *adapter, mpi_handle base, dt_comm **comm, char *text, size_t text_bytes);
void mpi_destroy(dt_comm *comm);

#endif
