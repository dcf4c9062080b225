/* What goes wrong under MPI, one scenario a run: arguments: scenario. Each rank that saw what it should prints "passed". */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ranks.h"

static dt_comm *comm;
static int32_t rank, world;

static void join(uint32_t flags, int64_t timeout_ms) {
    char error[1024];
    dt_options options = {.struct_bytes = sizeof options, .transport = DT_TRANSPORT_MPI, .rank = -1, .timeout_ms = timeout_ms, .flags = flags};
    dt_description it = {.struct_bytes = sizeof it};
    dt_status status = dt_comm_init(&options, &comm, error, sizeof error);
    CHECK(status == DT_OK, "%s", error);
    EXPECT(comm, dt_comm_describe(comm, &it), DT_OK);
    rank = it.rank;
    world = it.world_size;
    CHECK(it.transport == DT_TRANSPORT_MPI && it.cores > 0, "transport %d, %d cores", it.transport, it.cores);
    EXPECT(comm, dt_barrier(comm), DT_OK);
}

/* After a failure every call fails at once, with the same status. */
static void is_dead(dt_status status) {
    float one = 1;
    double start = seconds_now();
    dt_failure failure = {.struct_bytes = sizeof failure};
    EXPECT(comm, dt_all_reduce(comm, &one, &one, 1, DT_F32, DT_SUM), status);
    EXPECT(comm, dt_barrier(comm), status);
    EXPECT(comm, dt_send(comm, &one, 1, DT_F32, (rank + 1) % world), status);
    EXPECT(comm, dt_failure_info(comm, &failure), DT_OK);
    CHECK(failure.status == status, "failure_info says %d", failure.status);
    CHECK(seconds_now() - start < 1, "calls on a dead communicator took %g s", seconds_now() - start);
}

/* The last rank does not come: the others name it and its process. */
static void timeout(void) {
    char name[32];
    float data[1000] = {0};
    join(0, 1500);
    snprintf(name, sizeof name, "rank %d (pid", world - 1);
    if (rank == world - 1) {
        while (dt_status_now(comm) == DT_OK) usleep(10000);
        EXPECT(comm, dt_status_now(comm), DT_TIMEOUT);
    } else {
        double start = seconds_now();
        EXPECT(comm, dt_all_reduce(comm, data, data, 1000, DT_F32, DT_SUM), DT_TIMEOUT);
        CHECK(seconds_now() - start > 1 && seconds_now() - start < 20, "it took %g s", seconds_now() - start);
    }
    EXPECT_TEXT(comm, "timed out after 1500 ms", "all_reduce(f32, sum, 1000 elements)", name);
    is_dead(DT_TIMEOUT);
}

/* Nobody sends. */
static void silent_partner(void) {
    float one = 1;
    join(0, 1000);
    if (rank == 0)
        EXPECT(comm, dt_recv(comm, &one, 1, DT_F32, 1), DT_TIMEOUT);
    else
        while (dt_status_now(comm) == DT_OK) usleep(10000);
    EXPECT_TEXT(comm, "recv(f32, peer 1, 1 elements)", "its partner is: rank 1 (pid");
    is_dead(DT_TIMEOUT);
}

static void *abort_soon(void *argument) {
    (void)argument;
    usleep(300 * 1000);
    dt_abort(comm, "enough");
    return NULL;
}

/* One rank's other thread aborts: all that wait wake up, that rank too, long before their time is up. */
static void aborted(void) {
    static float data[1 << 20];
    pthread_t thread;
    double start = seconds_now();
    join(0, 60000);
    if (rank == 0) pthread_create(&thread, NULL, abort_soon, NULL);
    if (rank == world - 1) {
        while (dt_status_now(comm) == DT_OK) usleep(10000);
        EXPECT(comm, dt_status_now(comm), DT_ABORTED);
    } else {
        EXPECT(comm, dt_all_reduce(comm, data, data, 1 << 20, DT_F32, DT_SUM), DT_ABORTED);
    }
    EXPECT_TEXT(comm, "rank 0 (pid", "aborted: enough");
    CHECK(seconds_now() - start < 30, "waking took %g s", seconds_now() - start);
    is_dead(DT_ABORTED);
    if (rank == 0) pthread_join(thread, NULL);
}

/* A rank broadcasts where the others gather, in check mode: all name both calls. */
static void checked_mismatch(void) {
    static float data[4096];
    join(DT_CHECK_CALLS, 20000);
    if (rank == world - 1)
        EXPECT(comm, dt_broadcast(comm, data, data, 100, DT_F32, 0), DT_MISMATCH);
    else
        EXPECT(comm, dt_all_gather(comm, data, data + 2000, 101, DT_F32), DT_MISMATCH);
    EXPECT_TEXT(comm, "all_gather(f32, 101 elements)", "broadcast(f32, root 0, 100 elements)", "rank 0 called");
    is_dead(DT_MISMATCH);
}

/* Reductions that differ do not meet; those who wait tell each other what they wait for, without check mode. */
static void reductions_differ(void) {
    static float data[8192];
    join(0, 20000);
    double start = seconds_now();
    EXPECT(comm, dt_all_reduce(comm, data, data, rank == 0 ? 5000 : 6000, DT_F32, DT_SUM), DT_MISMATCH);
    EXPECT_TEXT(comm, "all_reduce(f32, sum, 5000 elements)", "all_reduce(f32, sum, 6000 elements)");
    CHECK(seconds_now() - start < 10, "it took %g s", seconds_now() - start);
    is_dead(DT_MISMATCH);
}

/* Rank 0 sends what rank 1 does not expect: another type of as many bytes; argument: more, fewer or other. */
static void wrong_send(int64_t count, int32_t dtype) {
    static char data[80000];
    join(0, 20000);
    if (rank == 0) EXPECT(comm, dt_send(comm, data, count, dtype, 1), DT_OK);
    if (rank == 1) {
        EXPECT(comm, dt_recv(comm, data, 100, DT_F32, 0), DT_MISMATCH);
        EXPECT_TEXT(comm, "rank 1 awaits 100 elements of f32 from rank 0");
    } else {
        while (dt_status_now(comm) == DT_OK) usleep(10000);
    }
    is_dead(DT_MISMATCH);
}

static void more(void) { wrong_send(900, DT_F32); }
static void fewer(void) { wrong_send(99, DT_F32); }
static void other_type(void) { wrong_send(100, DT_I32); }

/* A rank leaves while another one waits for it. */
static void leaver(void) {
    float one = 1;
    join(0, 20000);
    if (rank == 1) {
        EXPECT(comm, dt_comm_destroy(comm), DT_OK);
        comm = NULL;
    } else {
        double start = seconds_now();
        EXPECT(comm, dt_all_reduce(comm, &one, &one, 1, DT_F32, DT_SUM), DT_PEER_LOST);
        EXPECT_TEXT(comm, "rank 1 (pid", "has destroyed its communicator");
        CHECK(seconds_now() - start < 10, "it took %g s", seconds_now() - start);
    }
}

/* Ranks and worlds that are not MPI's, arguments that no communicator takes; it lives on. */
static void arguments(void) {
    char error[1024];
    float data[8];
    dt_comm *other;
    dt_flight_record records[DT_FLIGHT_RECORDS];
    int64_t count;
    void *memory;
    join(0, 20000);
    dt_options options = {.struct_bytes = sizeof options, .transport = DT_TRANSPORT_MPI, .rank = (rank + 1) % world, .world_size = world, .timeout_ms = 1000};
    CHECK(dt_comm_init(&options, &other, error, sizeof error) == DT_INVALID_ARGUMENT && strstr(error, "but MPI's launcher made this process rank"), "%s", error);
    options.rank = rank;
    options.world_size = world + 1;
    CHECK(dt_comm_init(&options, &other, error, sizeof error) == DT_INVALID_ARGUMENT && strstr(error, "was asked for"), "%s", error);
    options.world_size = world;
    options.timeout_ms = 20000;
    CHECK(dt_comm_init(&options, &other, error, sizeof error) == DT_OK, "%s", error);
    EXPECT(other, dt_barrier(other), DT_OK);
    EXPECT(other, dt_comm_destroy(other), DT_OK);
    EXPECT(comm, dt_all_reduce(comm, data, data, -1, DT_F32, DT_SUM), DT_INVALID_ARGUMENT);
    EXPECT(comm, dt_all_reduce(comm, NULL, data, 1, DT_F32, DT_SUM), DT_INVALID_ARGUMENT);
    EXPECT(comm, dt_broadcast(comm, data, data, 1, DT_F32, world), DT_INVALID_ARGUMENT);
    EXPECT(comm, dt_send(comm, data, 1, DT_F32, rank), DT_INVALID_ARGUMENT);
    EXPECT(comm, dt_free(comm, data), DT_INVALID_ARGUMENT);
    EXPECT(comm, dt_alloc(comm, 5000, 0, &memory), DT_OK);
    for (int i = 0; i < 5000; i++) CHECK(((char *)memory)[i] == 0, "byte %d of new memory", i);
    EXPECT(comm, dt_free(comm, memory), DT_OK);
    for (int i = 0; i < 300; i++) EXPECT(comm, dt_all_reduce(comm, data, data, 8, DT_F32, DT_MAX), DT_OK);
    EXPECT(comm, dt_flight_records(comm, rank, records, DT_FLIGHT_RECORDS, &count), DT_OK);
    CHECK(count == DT_FLIGHT_RECORDS && records[255].verb == DT_VERB_ALL_REDUCE && records[255].count == 8 && records[255].state == DT_RECORD_DONE,
          "%lld records, the last one is verb %d", (long long)count, records[255].verb);
    EXPECT(comm, dt_comm_destroy(comm), DT_OK);
    comm = NULL;
}

/* NaN in minima and maxima, wrapping sums, -0: what MPI's own verbs leave open. */
static void semantics(void) {
    join(0, 20000);
    for (int32_t count = 2; count <= 3000; count += 2998) {
        float low[3000], high[3000];
        int32_t wraps[3000];
        for (int i = 0; i < count; i++) {
            low[i] = high[i] = i % 2 == 0 && rank == (i / 2) % world ? __builtin_nanf("") : (float)rank;
            wraps[i] = INT32_MAX - rank;
        }
        EXPECT(comm, dt_all_reduce(comm, low, low, count, DT_F32, DT_MIN), DT_OK);
        EXPECT(comm, dt_all_reduce(comm, high, high, count, DT_F32, DT_MAX), DT_OK);
        EXPECT(comm, dt_all_reduce(comm, wraps, wraps, count, DT_I32, DT_SUM), DT_OK);
        uint32_t wanted = 0;
        for (int32_t r = 0; r < world; r++) wanted += (uint32_t)(INT32_MAX - r);
        for (int i = 0; i < count; i++) {
            CHECK(i % 2 == 0 ? low[i] != low[i] && high[i] != high[i] : low[i] == 0 && high[i] == (float)(world - 1), "element %d: %g, %g", i, low[i], high[i]);
            CHECK((uint32_t)wraps[i] == wanted, "element %d wraps to %d", i, wraps[i]);
        }
    }
}

/* One rank does not join a second communicator: the others' wait ends. */
static void absent_at_init(void) {
    char error[1024];
    dt_comm *second;
    join(0, 20000);
    dt_options options = {.struct_bytes = sizeof options, .transport = DT_TRANSPORT_MPI, .rank = -1, .timeout_ms = 700};
    if (rank == 0) {
        while (dt_status_now(comm) == DT_OK) usleep(10000);
        EXPECT(comm, dt_status_now(comm), DT_ABORTED);
        return;
    }
    dt_status status = dt_comm_init(&options, &second, error, sizeof error);
    CHECK(status == DT_TIMEOUT && !second && strstr(error, "ranks have called dt_comm_init within 700 ms"), "%d: %s", status, error);
    dt_abort(comm, "so that nobody waits in MPI_Finalize");
}

/* More bytes than MPI's int can say, in every verb that passes data as it is. Takes 2.4 GB a rank. */
static void huge(void) {
    enum { HALF = 300 * 1000 * 1000 };
    int64_t count = 2ll * HALF;
    int32_t *data = malloc((size_t)count * 4);
    join(0, 50000);
    CHECK(data && world == 2, "2.4 GB of memory, 2 ranks");
    for (int64_t i = 0; i < count; i++) data[i] = (int32_t)i * (rank + 1);
    EXPECT(comm, dt_all_reduce(comm, data, data, count, DT_I32, DT_SUM), DT_OK);
    for (int64_t i = 0; i < count; i++) CHECK(data[i] == (int32_t)(3u * (uint32_t)i), "sum at %lld is %d", (long long)i, data[i]);
    for (int64_t i = 0; i < count; i++) data[i] = (int32_t)i + rank;
    EXPECT(comm, dt_broadcast(comm, data, data, count, DT_I32, 1), DT_OK);
    for (int64_t i = 0; i < count; i++) CHECK(data[i] == (int32_t)i + 1, "broadcast at %lld is %d", (long long)i, data[i]);
    for (int64_t i = 0; i < count; i++) data[i] = i / HALF == rank ? rank + 5 : -1;
    EXPECT(comm, dt_all_gather(comm, data + (int64_t)rank * HALF, data, HALF, DT_I32), DT_OK);
    for (int64_t i = 0; i < count; i++) CHECK(data[i] == i / HALF + 5, "gathered at %lld is %d", (long long)i, data[i]);
    if (rank == 0) {
        EXPECT(comm, dt_send(comm, data, count, DT_I32, 1), DT_OK);
    } else {
        memset(data, 0, (size_t)count * 4);
        EXPECT(comm, dt_recv(comm, data, count, DT_I32, 0), DT_OK);
        for (int64_t i = 0; i < count; i++) CHECK(data[i] == i / HALF + 5, "received at %lld is %d", (long long)i, data[i]);
    }
    free(data);
}

/* Not started by a launcher: a text that says how to start. */
static void alone(void) {
    char error[1024];
    dt_options options = {.struct_bytes = sizeof options, .transport = DT_TRANSPORT_MPI, .rank = -1, .timeout_ms = 1000};
    dt_status status = dt_comm_init(&options, &comm, error, sizeof error);
    CHECK(status == DT_UNSUPPORTED && !comm && strstr(error, "mpirun -n RANKS") && strstr(error, "srun"), "%d: %s", status, error);
    CHECK(dt_transport_available(DT_TRANSPORT_MPI, error, sizeof error) == DT_UNSUPPORTED && strstr(error, "mpirun"), "%s", error);
    setenv("DISTTRAIN_MPI_LIBRARY", "/nowhere/libmpi.so", 1);
    CHECK(dt_transport_available(DT_TRANSPORT_MPI, error, sizeof error) == DT_UNSUPPORTED && strstr(error, "/nowhere/libmpi.so"), "%s", error);
    setenv("DISTTRAIN_MPI_LIBRARY", "libc.so.6", 1);
    CHECK(dt_comm_init(&options, &comm, error, sizeof error) == DT_UNSUPPORTED && strstr(error, "lacks MPI_Init_thread"), "%s", error);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } scenarios[] = {{"timeout", timeout}, {"silent_partner", silent_partner}, {"aborted", aborted}, {"checked_mismatch", checked_mismatch},
                     {"reductions_differ", reductions_differ}, {"more", more}, {"fewer", fewer}, {"other_type", other_type}, {"leaver", leaver},
                     {"arguments", arguments}, {"semantics", semantics}, {"absent_at_init", absent_at_init}, {"huge", huge}, {"alone", alone}};
    alarm(60);
    for (size_t i = 0; argc > 1 && i < sizeof scenarios / sizeof *scenarios; i++) {
        if (strcmp(scenarios[i].name, argv[1]) != 0) continue;
        scenarios[i].run();
        printf("rank %d passed\n", rank);
        fflush(stdout);
        if (comm && dt_status_now(comm) != DT_OK) usleep(400 * 1000); /* the launcher stops the others when one ends without MPI_Finalize */
        EXPECT(comm, dt_comm_destroy(comm), DT_OK);
        return 0;
    }
    fprintf(stderr, "usage: %s SCENARIO\n", argv[0]);
    return 2;
}
