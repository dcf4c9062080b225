/* The adapter's text, compiled once for each ABI after that ABI's header. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "adapter.h"

#define FUNCTIONS(X)                                                                                            \
    X(Init_thread, (int *, char ***, int, int *))                                                               \
    X(Initialized, (int *))                                                                                     \
    X(Finalized, (int *))                                                                                       \
    X(Query_thread, (int *))                                                                                    \
    X(Finalize, (void))                                                                                         \
    X(Get_library_version, (char *, int *))                                                                     \
    X(Error_string, (int, char *, int *))                                                                       \
    X(Error_class, (int, int *))                                                                                \
    X(Comm_rank, (abi_comm, int *))                                                                             \
    X(Comm_size, (abi_comm, int *))                                                                             \
    X(Comm_dup, (abi_comm, abi_comm *))                                                                         \
    X(Comm_split, (abi_comm, int, int, abi_comm *))                                                             \
    X(Comm_free, (abi_comm *))                                                                                  \
    X(Comm_set_errhandler, (abi_comm, abi_errhandler))                                                          \
    X(Isend, (const void *, int, abi_datatype, int, int, abi_comm, abi_request *))                              \
    X(Irecv, (void *, int, abi_datatype, int, int, abi_comm, abi_request *))                                    \
    X(Test, (abi_request *, int *, abi_status *))                                                               \
    X(Cancel, (abi_request *))                                                                                  \
    X(Iprobe, (int, int, abi_comm, int *, abi_status *))                                                        \
    X(Get_count, (const abi_status *, abi_datatype, int *))                                                     \
    X(Ibarrier, (abi_comm, abi_request *))                                                                      \
    X(Ibcast, (void *, int, abi_datatype, int, abi_comm, abi_request *))                                        \
    X(Iallgather, (const void *, int, abi_datatype, void *, int, abi_datatype, abi_comm, abi_request *))        \
    X(Ialltoall, (const void *, int, abi_datatype, void *, int, abi_datatype, abi_comm, abi_request *))

#define DECLARE(name, arguments) int(*name) arguments;
static struct functions {
    FUNCTIONS(DECLARE)
} mpi;

static bool bind_all(void *library, const char **missing) {
#define FIND(name, arguments)                                    \
    if (!(*(void **)&mpi.name = dlsym(library, "MPI_" #name))) { \
        *missing = "MPI_" #name;                                 \
        return false;                                            \
    }
    FUNCTIONS(FIND)
    return abi_constants(library, missing);
}

/* One call into the library, alone if it wants that. */
static int leave(int code) {
    mpi_leave();
    return code;
}
#define CALL(name, ...) (mpi_enter(), leave(mpi.name(__VA_ARGS__)))
#define COMM(comm) ABI_HANDLE(abi_comm, comm)

static int initialised(bool *is_initialised, bool *is_finalised) {
    int began = 0, ended = 0, code = mpi.Initialized(&began);
    if (code == 0) code = mpi.Finalized(&ended);
    *is_initialised = began;
    *is_finalised = ended;
    return code;
}

/* Errors of requests may go to the world's handler, whichever communicator they are of; a host that began MPI itself keeps its handler. */
static int initialise(int *level) {
    int code = mpi.Init_thread(NULL, NULL, MPI_LEVEL_MULTIPLE, level);
    return code != 0 ? code : mpi.Comm_set_errhandler(abi_world, abi_errors_return);
}

static int thread_level(int *level) { return mpi.Query_thread(level); }
static int finalise(void) { return mpi.Finalize(); }

static void version(char *text, size_t bytes) {
    char whole[8192 + 1] = ""; /* MPICH's names every option it was built with */
    int length = 0;
    if (mpi.Get_library_version(whole, &length) != 0) *whole = 0;
    whole[strcspn(whole, "\n,")] = 0;
    for (char *at = whole; *at; at++)
        if (*at == '\t') *at = ' ';
    snprintf(text, bytes, "%s", whole);
}

static void error_text(int code, char *text, size_t bytes) {
    char whole[ABI_MAX_ERROR_STRING + 1] = "";
    int length = 0;
    if (CALL(Error_string, code, whole, &length) != 0) snprintf(whole, sizeof whole, "error %d", code);
    for (char *at = whole; *at; at++)
        if (*at == '\n') *at = ' ';
    snprintf(text, bytes, "%s", whole);
}

static bool is_truncation(int code) {
    int class = 0;
    return code != 0 && CALL(Error_class, code, &class) == 0 && class == ABI_ERR_TRUNCATE;
}

static mpi_handle world(void) { return ABI_NEUTRAL(abi_world); }

static int rank_of(mpi_handle comm, int *rank, int *size) {
    int code = CALL(Comm_rank, COMM(comm), rank);
    return code != 0 ? code : CALL(Comm_size, COMM(comm), size);
}

static int duplicate(mpi_handle comm, mpi_handle *copy) {
    abi_comm made;
    int code = CALL(Comm_dup, COMM(comm), &made);
    if (code != 0) return code;
    *copy = ABI_NEUTRAL(made);
    return CALL(Comm_set_errhandler, made, abi_errors_return);
}

static int divide(mpi_handle comm, int color, int key, mpi_handle *part) {
    abi_comm made;
    *part = 0;
    int code = CALL(Comm_split, COMM(comm), color < 0 ? ABI_UNDEFINED : color, key, &made);
    if (code != 0 || color < 0) return code;
    *part = ABI_NEUTRAL(made);
    return CALL(Comm_set_errhandler, made, abi_errors_return);
}

static int release(mpi_handle *comm) {
    abi_comm its = COMM(*comm);
    *comm = 0;
    return CALL(Comm_free, &its);
}

/* Posts what makes a request. */
#define POST(name, ...)                               \
    do {                                              \
        abi_request made;                             \
        int code = CALL(name, __VA_ARGS__, &made);    \
        if (code == 0) *request = ABI_NEUTRAL(made);  \
        return code;                                  \
    } while (0)

static int send(mpi_handle comm, const void *from, int bytes, int peer, int tag, mpi_handle *request) {
    POST(Isend, from, bytes, abi_byte, peer, tag, COMM(comm));
}

static int receive(mpi_handle comm, void *to, int bytes, int peer, int tag, mpi_handle *request) {
    POST(Irecv, to, bytes, abi_byte, peer, tag < 0 ? ABI_ANY_TAG : tag, COMM(comm));
}

static void read_status(const abi_status *status, mpi_arrival *arrival) {
    int bytes = 0;
    if (CALL(Get_count, status, abi_byte, &bytes) != 0 || bytes < 0) bytes = -1;
    *arrival = (mpi_arrival){status->source, status->tag, bytes};
}

static int test(mpi_handle *request, bool *done, mpi_arrival *arrival) {
    abi_request its = ABI_HANDLE(abi_request, *request);
    abi_status status;
    int flag = 0;
    memset(&status, 0, sizeof status);
    int code = CALL(Test, &its, &flag, &status);
    *request = ABI_NEUTRAL(its);
    *done = flag || code != 0;
    if (*done && arrival) read_status(&status, arrival);
    return code;
}

static int cancel(mpi_handle *request) {
    abi_request its = ABI_HANDLE(abi_request, *request);
    int code = CALL(Cancel, &its);
    *request = ABI_NEUTRAL(its);
    return code;
}

static int probe(mpi_handle comm, bool *found, mpi_arrival *arrival) {
    abi_status status;
    int flag = 0;
    memset(&status, 0, sizeof status);
    int code = CALL(Iprobe, ABI_ANY_SOURCE, ABI_ANY_TAG, COMM(comm), &flag, &status);
    *found = code == 0 && flag;
    if (*found) read_status(&status, arrival);
    return code;
}

static int barrier(mpi_handle comm, mpi_handle *request) { POST(Ibarrier, COMM(comm)); }

static int broadcast(mpi_handle comm, void *data, int bytes, int root, mpi_handle *request) {
    POST(Ibcast, data, bytes, abi_byte, root, COMM(comm));
}

static int all_gather(mpi_handle comm, const void *from, void *to, int bytes, mpi_handle *request) {
    POST(Iallgather, from ? from : ABI_IN_PLACE, bytes, abi_byte, to, bytes, abi_byte, COMM(comm));
}

static int all_to_all(mpi_handle comm, const void *from, void *to, int bytes, mpi_handle *request) {
    POST(Ialltoall, from, bytes, abi_byte, to, bytes, abi_byte, COMM(comm));
}

const mpi_adapter ADAPTER = {
    .abi = ABI_NAME,
    .bind = bind_all,
    .initialised = initialised,
    .initialise = initialise,
    .thread_level = thread_level,
    .finalise = finalise,
    .version = version,
    .error_text = error_text,
    .is_truncation = is_truncation,
    .world = world,
    .rank_of = rank_of,
    .duplicate = duplicate,
    .divide = divide,
    .release = release,
    .send = send,
    .receive = receive,
    .test = test,
    .cancel = cancel,
    .probe = probe,
    .barrier = barrier,
    .broadcast = broadcast,
    .all_gather = all_gather,
    .all_to_all = all_to_all,
};
