/* The life of a communicator, and what may be asked of it from any thread. */
#include "comm.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/mpi_transport.h"
#include "nccl/nccl.h"
#include "shm/shm.h"

#define COMM_MAGIC 0x4D4D4F4354534944ull /* "DISTCOMM" */

enum { KNOWN_FLAGS = DT_FIXED_ORDER | DT_HUGE_PAGES | DT_ALWAYS_SPIN | DT_CHECK_CALLS };

/* Half of what 64 bits of nanoseconds hold: deadlines are computed in them. */
static const int64_t TIMEOUT_MS_MAX = INT64_MAX / 2 / 1000000;

static int64_t timeout_of(int64_t timeout_ms) { return timeout_ms < TIMEOUT_MS_MAX ? timeout_ms : TIMEOUT_MS_MAX; }

/* All communicators that live. What belongs to them does not go along with a fork: the child's copies are dead from the start. */
static pthread_mutex_t living = PTHREAD_MUTEX_INITIALIZER;
static dt_comm *first;

static void before_fork(void) { pthread_mutex_lock(&living); }

static void behind_fork(void) { pthread_mutex_unlock(&living); }

static void forget_all(void) {
    for (dt_comm *comm = first; comm; comm = comm->next) comm->magic = 0;
    first = NULL;
    shm_forget_shared();
    pthread_mutex_init(&living, NULL);
}

static void watch_forks(void) { pthread_atfork(before_fork, behind_fork, forget_all); }

static void enlist(dt_comm *comm) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&living);
    comm->next = first;
    if (first) first->previous = comm;
    first = comm;
    pthread_mutex_unlock(&living);
}

static void strike_off(dt_comm *comm) {
    pthread_mutex_lock(&living);
    if (comm->next) comm->next->previous = comm->previous;
    if (comm->previous)
        comm->previous->next = comm->next;
    else
        first = comm->next;
    pthread_mutex_unlock(&living);
}

dt_status comm_initialise(dt_comm *comm, const dt_transport *transport, const dt_options *options) {
    if (pthread_mutex_init(&comm->text_lock, NULL) != 0) return DT_OUT_OF_MEMORY;
    comm->magic = COMM_MAGIC;
    comm->transport = transport;
    comm->kernels = reduce_select();
    comm->transport_number = options->transport;
    comm->rank = options->rank;
    comm->world_size = options->world_size;
    comm->flags = options->flags;
    atomic_init(&comm->timeout_ms, options->timeout_ms);
    enlist(comm);
    return DT_OK;
}

void comm_dispose(dt_comm *comm) {
    strike_off(comm);
    comm->magic = 0;
    free(comm->group);
    pthread_mutex_destroy(&comm->text_lock);
}

dt_status comm_error(dt_comm *comm, dt_status status, const char *format, ...) {
    char text[DT_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&comm->text_lock);
    memcpy(comm->text, text, sizeof text);
    pthread_mutex_unlock(&comm->text_lock);
    return status;
}

bool comm_alive(const dt_comm *comm) { return comm && comm->magic == COMM_MAGIC; }

__attribute__((format(printf, 3, 4))) static dt_status refuse(char *error, int64_t error_bytes, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (error && error_bytes > 0) vsnprintf(error, (size_t)error_bytes, format, arguments);
    va_end(arguments);
    return DT_INVALID_ARGUMENT;
}

static dt_status check_options(const dt_options *o, char *error, int64_t bytes) {
    if (!o) return refuse(error, bytes, "options is null");
    if (o->struct_bytes != (int64_t)sizeof *o)
        return refuse(error, bytes, "options.struct_bytes is %lld, this version (%d) has %zu", (long long)o->struct_bytes, DT_ABI_VERSION, sizeof *o);
    bool ask_mpi = o->transport == DT_TRANSPORT_MPI && o->rank == -1 && o->world_size == 0;
    if (!ask_mpi && (o->world_size < 1 || o->rank < 0 || o->rank >= o->world_size))
        return refuse(error, bytes, "rank %d of a world of %d: needed is 0 <= rank < world_size", o->rank, o->world_size);
    if (o->timeout_ms < 1) return refuse(error, bytes, "timeout_ms is %lld; every wait needs an end", (long long)o->timeout_ms);
    if (o->flags & ~(uint32_t)KNOWN_FLAGS) return refuse(error, bytes, "unknown flags %#x", o->flags & ~(uint32_t)KNOWN_FLAGS);
    return DT_OK;
}

static dt_status check_shm_options(const dt_options *o, char *error, int64_t bytes) {
    if (o->world_size > DT_MAX_RANKS_SHM) return refuse(error, bytes, "shm takes up to %d ranks, not %d", DT_MAX_RANKS_SHM, o->world_size);
    if (o->segment_bytes && (o->segment_bytes < SHM_SEGMENT_BYTES_MIN || o->segment_bytes > SHM_SEGMENT_BYTES_MAX || o->segment_bytes % 4096))
        return refuse(error, bytes, "segment_bytes is %lld; needed is a multiple of 4096 from %d to %d, or 0", (long long)o->segment_bytes,
                      SHM_SEGMENT_BYTES_MIN, SHM_SEGMENT_BYTES_MAX);
    if (o->world_size == 1) return DT_OK;
    size_t length = o->address ? strnlen(o->address, DT_ADDRESS_BYTES_MAX + 1) : 0;
    if (length < 2 || length > DT_ADDRESS_BYTES_MAX || (o->address[0] != '@' && o->address[0] != '/'))
        return refuse(error, bytes, "address is %.110s; needed is \"@name\" or an absolute path, up to %d bytes", o->address ? o->address : "null",
                      DT_ADDRESS_BYTES_MAX);
    if (!o->secret || o->secret_bytes < 1 || o->secret_bytes > DT_SECRET_BYTES_MAX)
        return refuse(error, bytes, "secret: %lld bytes; needed are 1 to %d, the same on all ranks of the job", (long long)o->secret_bytes,
                      DT_SECRET_BYTES_MAX);
    return DT_OK;
}

static dt_status check_mpi_options(const dt_options *o, char *error, int64_t bytes) {
    if (o->segment_bytes && (o->segment_bytes < MPI_SEGMENT_BYTES_MIN || o->segment_bytes > MPI_SEGMENT_BYTES_MAX || o->segment_bytes % 4096))
        return refuse(error, bytes, "segment_bytes is %lld; needed is a multiple of 4096 from %d to %d, or 0", (long long)o->segment_bytes,
                      MPI_SEGMENT_BYTES_MIN, MPI_SEGMENT_BYTES_MAX);
    return DT_OK;
}

static dt_status check_nccl_options(const dt_options *o, char *error, int64_t bytes) {
    if (o->flags & DT_FIXED_ORDER) {
        refuse(error, bytes, "nccl adds in an order of its own choice; fixed order is had by the fixed-order plans over sends and receives");
        return DT_UNSUPPORTED;
    }
    if (!o->unique_id || o->unique_id_bytes != DT_UNIQUE_ID_BYTES)
        return refuse(error, bytes, "unique_id: %lld bytes; needed are the %d of rank 0's dt_nccl_unique_id, the same on all ranks",
                      (long long)(o->unique_id ? o->unique_id_bytes : 0), DT_UNIQUE_ID_BYTES);
    if (o->device < 0) return refuse(error, bytes, "device is %d; needed is the ordinal of a CUDA device", o->device);
    return DT_OK;
}

static dt_status check_transport_options(const dt_options *o, char *error, int64_t bytes) {
    switch (o->transport) {
    case DT_TRANSPORT_MPI: return check_mpi_options(o, error, bytes);
    case DT_TRANSPORT_NCCL: return check_nccl_options(o, error, bytes);
    default: return check_shm_options(o, error, bytes);
    }
}

static dt_status join(const dt_options *o, dt_comm **comm, char *text, size_t text_bytes) {
    switch (o->transport) {
    case DT_TRANSPORT_MPI: return mpi_join(o, comm, text, text_bytes);
    case DT_TRANSPORT_NCCL: return nccl_join(o, comm, text, text_bytes);
    default: return shm_join(o, -1, NULL, comm, text, text_bytes);
    }
}

dt_status dt_transport_available(int32_t transport, char *reason, int64_t reason_bytes) {
    char text[DT_TEXT_BYTES] = "";
    dt_status status = DT_UNSUPPORTED;
    if (transport == DT_TRANSPORT_SHM) return DT_OK;
    if (transport == DT_TRANSPORT_MPI)
        status = mpi_available(text, sizeof text);
    else if (transport == DT_TRANSPORT_NCCL)
        status = nccl_available(text, sizeof text);
    else
        return refuse(reason, reason_bytes, "there is no transport %d", transport);
    if (status != DT_OK) refuse(reason, reason_bytes, "%s", text);
    return status;
}

dt_status dt_comm_init(const dt_options *options, dt_comm **comm, char *error, int64_t error_bytes) {
    char text[DT_TEXT_BYTES] = "";
    if (error && error_bytes > 0) *error = 0;
    if (!comm) return refuse(error, error_bytes, "comm is null");
    *comm = NULL;
    dt_status status = check_options(options, error, error_bytes);
    if (status == DT_OK) status = dt_transport_available(options->transport, error, error_bytes);
    if (status == DT_OK) status = check_transport_options(options, error, error_bytes);
    if (status != DT_OK) return status;
    dt_options own = *options;
    own.timeout_ms = timeout_of(options->timeout_ms);
    status = join(&own, comm, text, sizeof text);
    if (status != DT_OK) refuse(error, error_bytes, "%s", text);
    return status;
}

dt_status dt_leave(dt_comm *comm) {
    if (!comm_alive(comm)) return DT_INVALID_ARGUMENT;
    if (comm->transport->leave) comm->transport->leave(comm);
    return DT_OK;
}

dt_status dt_comm_destroy(dt_comm *comm) {
    if (!comm) return DT_OK;
    if (!comm_alive(comm)) return DT_INVALID_ARGUMENT;
    if (atomic_exchange(&comm->busy, 1)) return comm_error(comm, DT_INVALID_USAGE, "dt_comm_destroy while another thread is inside a call; dt_abort wakes it");
    comm->transport->destroy(comm);
    return DT_OK;
}

dt_status dt_comm_describe(dt_comm *comm, dt_description *description) {
    if (!comm_alive(comm)) return DT_INVALID_ARGUMENT;
    if (!description || description->struct_bytes != (int64_t)sizeof *description)
        return comm_error(comm, DT_INVALID_ARGUMENT, "description is null or its struct_bytes is not %zu", sizeof *description);
    *description = (dt_description){.struct_bytes = sizeof *description, .transport = comm->transport_number, .rank = comm->rank,
                                    .world_size = comm->world_size, .flags = comm->flags, .sequence = comm_calls(comm),
                                    .instruction_set_bits = comm->kernels->vector_bits};
    comm->transport->describe(comm, description);
    return DT_OK;
}

dt_status dt_set_timeout(dt_comm *comm, int64_t timeout_ms) {
    if (!comm_alive(comm)) return DT_INVALID_ARGUMENT;
    if (timeout_ms < 1) return comm_error(comm, DT_INVALID_ARGUMENT, "timeout_ms is %lld; every wait needs an end", (long long)timeout_ms);
    atomic_store(&comm->timeout_ms, timeout_of(timeout_ms));
    return DT_OK;
}

dt_status dt_abort(dt_comm *comm, const char *why) {
    if (!comm_alive(comm)) return DT_INVALID_ARGUMENT;
    comm->transport->abort(comm, why);
    return DT_OK;
}

dt_status dt_status_now(dt_comm *comm) { return comm_alive(comm) ? comm->transport->state(comm) : DT_INVALID_ARGUMENT; }

dt_status dt_failure_info(dt_comm *comm, dt_failure *failure) {
    char text[DT_TEXT_BYTES];
    if (!comm_alive(comm)) return DT_INVALID_ARGUMENT;
    if (!failure || failure->struct_bytes != (int64_t)sizeof *failure)
        return comm_error(comm, DT_INVALID_ARGUMENT, "failure is null or its struct_bytes is not %zu", sizeof *failure);
    comm->transport->failure(comm, failure, text, sizeof text);
    return DT_OK;
}

dt_status dt_last_error(dt_comm *comm, char *text, int64_t text_bytes) {
    dt_failure ignored;
    char whole[DT_TEXT_BYTES] = "";
    if (!comm_alive(comm) || !text || text_bytes < 1) return DT_INVALID_ARGUMENT;
    comm->transport->failure(comm, &ignored, whole, sizeof whole);
    if (!*whole) {
        pthread_mutex_lock(&comm->text_lock);
        memcpy(whole, comm->text, sizeof whole);
        pthread_mutex_unlock(&comm->text_lock);
    }
    snprintf(text, (size_t)text_bytes, "%s", whole);
    return DT_OK;
}

dt_status dt_flight_records(dt_comm *comm, int32_t rank, dt_flight_record *records, int64_t capacity, int64_t *count) {
    if (!comm_alive(comm)) return DT_INVALID_ARGUMENT;
    if (rank < 0 || rank >= comm->world_size || !count || capacity < 0 || (capacity && !records))
        return comm_error(comm, DT_INVALID_ARGUMENT, "dt_flight_records: rank %d of %d, capacity %lld", rank, comm->world_size, (long long)capacity);
    *count = comm->transport->records(comm, rank, records, capacity);
    return DT_OK;
}
