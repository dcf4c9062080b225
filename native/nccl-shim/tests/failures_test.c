/* What goes wrong: the right status on every rank, in time, with a text that names who and what. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ranks.h"

static void rest_ms(int ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000l}, NULL); }

static dt_status sum(rank_context *at, int64_t count) {
    static _Thread_local float data[100000];
    return dt_all_reduce(at->comm, data, data, count, DT_F32, DT_SUM);
}

/* Once failed, every call says so at once. */
static void stays_dead(rank_context *at, dt_status status) {
    double start = seconds_now();
    dt_comm *part;
    void *memory;
    float one = 1;
    EXPECT(at->comm, dt_status_now(at->comm), status);
    EXPECT(at->comm, sum(at, 10), status);
    EXPECT(at->comm, dt_barrier(at->comm), status);
    EXPECT(at->comm, dt_send(at->comm, &one, 1, DT_F32, (at->rank + 1) % at->world), status);
    EXPECT(at->comm, dt_alloc(at->comm, 4096, 0, &memory), status);
    EXPECT(at->comm, dt_comm_split(at->comm, 0, 0, &part), status);
    CHECK(seconds_now() - start < 1, "calls on a dead communicator took %g s", seconds_now() - start);
}

static void different_counts(rank_context *at) {
    EXPECT(at->comm, sum(at, 5), DT_OK);
    EXPECT(at->comm, sum(at, at->rank == at->world - 1 ? 90000 : 70), DT_MISMATCH);
    EXPECT_TEXT(at->comm, "#2 all_reduce(f32, sum, 70 elements)", "#2 all_reduce(f32, sum, 90000 elements)", "(pid ");
    stays_dead(at, DT_MISMATCH);
}

static void different_verbs(rank_context *at) {
    float data[8] = {0};
    EXPECT(at->comm, at->rank == 0 ? dt_barrier(at->comm) : dt_broadcast(at->comm, data, data, 8, DT_F32, 1), DT_MISMATCH);
    EXPECT_TEXT(at->comm, "#1 barrier", "#1 broadcast(f32, root 1, 8 elements)");
    stays_dead(at, DT_MISMATCH);
}

static void different_types_roots_operators(rank_context *at) {
    double data[64] = {0};
    int32_t which = *(const int32_t *)at->argument;
    bool odd = at->rank == at->world - 1;
    dt_status status = which == 0   ? dt_all_reduce(at->comm, data, data, 8, odd ? DT_I32 : DT_F32, DT_SUM)
                       : which == 1 ? dt_all_reduce(at->comm, data, data, 8, DT_F32, odd ? DT_MAX : DT_MIN)
                                    : dt_reduce(at->comm, data, data, 8, DT_F32, DT_SUM, odd ? 1 : 0);
    EXPECT(at->comm, status, DT_MISMATCH);
    EXPECT_TEXT(at->comm, which == 0 ? "i32" : which == 1 ? "max" : "root 1", which == 0 ? "f32" : which == 1 ? "min" : "root 0");
}

static void different_messages(rank_context *at) {
    float data[100] = {0};
    dt_status status = DT_OK;
    if (at->rank == 0) status = dt_send(at->comm, data, 100, DT_F32, 1);
    if (at->rank == 1) status = dt_recv(at->comm, data, 99, DT_F32, 0);
    if (status == DT_OK) status = dt_barrier(at->comm);
    EXPECT(at->comm, status, DT_MISMATCH);
    EXPECT_TEXT(at->comm, "rank 0", "100 f32", "rank 1", "recv of 99 f32");
}

static void killed(rank_context *at) {
    int32_t victim = at->world - 1;
    dt_failure failure = {.struct_bytes = sizeof failure};
    dt_status status = DT_OK;
    double *died = at->shared;
    for (int i = 0; status == DT_OK; i++) {
        if (at->rank == victim && i == 50) {
            *died = seconds_now();
            raise(SIGKILL);
        }
        status = sum(at, i % 2 ? 100 : 80000);
    }
    double late = seconds_now() - *died;
    EXPECT(at->comm, status, DT_PEER_LOST);
    CHECK(late < 1, "it took %g s to see the death", late);
    EXPECT(at->comm, dt_failure_info(at->comm, &failure), DT_OK);
    CHECK(failure.rank == victim && failure.reason == DT_REASON_DIED && failure.sequence == 50 && failure.verb == DT_VERB_ALL_REDUCE,
          "rank %d, reason %d, sequence %llu", failure.rank, failure.reason, (unsigned long long)failure.sequence);
    EXPECT_TEXT(at->comm, "died", "last call #50 all_reduce(f32, sum, 100 elements), done");
    stays_dead(at, DT_PEER_LOST);
    dt_flight_record records[DT_FLIGHT_RECORDS];
    int64_t count;
    EXPECT(at->comm, dt_flight_records(at->comm, victim, records, DT_FLIGHT_RECORDS, &count), DT_OK);
    CHECK(count == 50 && records[49].sequence == 50 && records[49].state == DT_RECORD_DONE && records[48].count == 80000, "%lld records of the dead rank",
          (long long)count);
}

static void killed_while_others_send(rank_context *at) {
    static float data[1 << 20];
    if (at->rank == 1) {
        rest_ms(50);
        raise(SIGKILL);
    }
    EXPECT(at->comm, at->rank == 0 ? dt_send(at->comm, data, 1 << 20, DT_F32, 1) : dt_recv(at->comm, data, 10, DT_F32, 1), DT_PEER_LOST);
    EXPECT_TEXT(at->comm, "rank 1", "died");
}

/* The parent lets a stopped rank go on after this many ms; it must find the communicator dead. */
static void stopped(rank_context *at) {
    int32_t *pid = at->shared;
    double start = seconds_now();
    dt_failure failure = {.struct_bytes = sizeof failure};
    if (at->rank == 1) {
        *pid = getpid();
        raise(SIGSTOP);
        EXPECT(at->comm, sum(at, 10), DT_PEER_LOST);
        return;
    }
    EXPECT(at->comm, sum(at, 10), DT_PEER_LOST);
    double took = seconds_now() - start;
    CHECK(took < 1.5, "it took %g s to see that a rank was stopped", took); /* 1 s from the stop, which comes a little after start */
    EXPECT_TEXT(at->comm, "rank 1", "stopped");
    EXPECT(at->comm, dt_failure_info(at->comm, &failure), DT_OK);
    CHECK(failure.reason == DT_REASON_STOPPED && failure.rank == 1 && failure.pid == *pid, "reason %d", failure.reason);
    if (at->rank == 0) kill(*pid, SIGCONT);
}

static void absent(rank_context *at) {
    double start = seconds_now();
    EXPECT(at->comm, sum(at, 10), DT_OK);
    if (at->rank == 1) {
        while (dt_status_now(at->comm) == DT_OK) rest_ms(5);
        EXPECT_TEXT(at->comm, "timed out after 300 ms", "not arrived: rank 1 (pid ", "last call #1 all_reduce(f32, sum, 10 elements), done");
        stays_dead(at, DT_TIMEOUT);
        return;
    }
    EXPECT(at->comm, sum(at, 20), DT_TIMEOUT);
    double took = seconds_now() - start;
    CHECK(took > 0.29 && took < 3, "a timeout of 0.3 s took %g s", took);
    EXPECT_TEXT(at->comm, "not arrived: rank 1 (pid ", "last call #2 all_reduce(f32, sum, 20 elements), under way");
}

static void partner_never_receives(rank_context *at) {
    static float data[1 << 20];
    if (at->rank == 0) {
        EXPECT(at->comm, dt_send(at->comm, data, 1 << 20, DT_F32, 1), DT_TIMEOUT);
        EXPECT_TEXT(at->comm, "timed out after 300 ms in send of 1048576 f32", "its partner is rank 1");
    } else {
        while (dt_status_now(at->comm) == DT_OK) rest_ms(5);
    }
}

static void *abort_later(void *argument) {
    rank_context *at = argument;
    rest_ms(100);
    dt_abort(at->comm, "the test says so");
    return NULL;
}

/* From another thread of rank 0, while all wait. */
static void aborted(rank_context *at) {
    pthread_t thread;
    double start = seconds_now();
    if (at->rank == 0) pthread_create(&thread, NULL, abort_later, at);
    if (at->rank == at->world - 1)
        while (dt_status_now(at->comm) == DT_OK) rest_ms(5);
    EXPECT(at->comm, sum(at, 10), DT_ABORTED);
    CHECK(seconds_now() - start < 2, "an abort took %g s", seconds_now() - start);
    EXPECT_TEXT(at->comm, "rank 0 (pid ", "aborted: the test says so");
    stays_dead(at, DT_ABORTED);
    if (at->rank == 0) pthread_join(thread, NULL);
}

static void leaves(rank_context *at) {
    if (at->rank == 1) return;
    EXPECT(at->comm, sum(at, 10), DT_PEER_LOST);
    EXPECT_TEXT(at->comm, "rank 1", "destroyed its communicator");
}

/* Says so, and keeps its memory until the others have failed. */
static void leaves_and_stays(rank_context *at) {
    char *memory;
    EXPECT(NULL, dt_leave(NULL), DT_INVALID_ARGUMENT);
    EXPECT(at->comm, dt_alloc(at->comm, 10000, 0, (void **)&memory), DT_OK);
    if (at->rank != 1) {
        EXPECT(at->comm, sum(at, 10), DT_PEER_LOST);
        EXPECT_TEXT(at->comm, "rank 1", "destroyed its communicator");
        return;
    }
    EXPECT(at->comm, dt_leave(at->comm), DT_OK);
    while (dt_status_now(at->comm) == DT_OK) rest_ms(1);
    memory[9999] = 1;
}

static void *second_thread(void *argument) {
    rank_context *at = argument;
    char text[200];
    rest_ms(50);
    EXPECT(at->comm, dt_barrier(at->comm), DT_INVALID_USAGE);
    EXPECT(at->comm, dt_comm_destroy(at->comm), DT_INVALID_USAGE);
    EXPECT(at->comm, dt_last_error(at->comm, text, sizeof text), DT_OK);
    atomic_store((_Atomic int32_t *)at->shared, 1);
    return NULL;
}

static void two_threads_at_once(rank_context *at) {
    pthread_t thread;
    if (at->rank == 0) pthread_create(&thread, NULL, second_thread, at);
    while (at->rank == 1 && !atomic_load((_Atomic int32_t *)at->shared)) rest_ms(1);
    EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
    if (at->rank == 0) pthread_join(thread, NULL);
}

/* Registered memory of a dead communicator can be given back without the others. */
static void free_after_failure(rank_context *at) {
    void *memory[2];
    EXPECT(at->comm, dt_alloc(at->comm, 1 << 16, 0, &memory[0]), DT_OK);
    EXPECT(at->comm, dt_alloc(at->comm, 1 << 16, 0, &memory[1]), DT_OK);
    EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
    dt_abort(at->comm, NULL);
    EXPECT(at->comm, dt_free(at->comm, memory[0]), DT_ABORTED);
}

static void stop_here(int number) {
    (void)number;
    raise(SIGSTOP);
}

/* Every rank killed or stopped at a random moment of a stream of collectives. */
static void random_death(rank_context *at) {
    const unsigned *seed = at->argument;
    int32_t victim = (int32_t)(*seed % (unsigned)at->world);
    int calls = (int)(*seed * 2654435761u % 97);
    void *memory;
    dt_status status = dt_alloc(at->comm, 1 << 18, 0, &memory);
    if (at->rank == victim && *seed % 3 == 0) alarm(0), signal(SIGALRM, SIG_DFL), ualarm(1000 + *seed * 7919 % 20000, 0);
    for (int i = 0; status == DT_OK; i++) {
        if (at->rank == victim && i == calls && *seed % 3) raise(SIGKILL);
        status = i % 3 ? sum(at, 1 + i * 331 % 60000) : dt_all_reduce(at->comm, memory, memory, 60000, DT_F32, DT_SUM);
    }
    EXPECT(at->comm, status, DT_PEER_LOST);
    dt_failure failure = {.struct_bytes = sizeof failure};
    EXPECT(at->comm, dt_failure_info(at->comm, &failure), DT_OK);
    CHECK(failure.rank == victim, "rank %d was blamed for the death of rank %d", failure.rank, victim);
}

static void in_time(double start, const char *what) {
    CHECK(seconds_now() - start < 5, "%s took %g s", what, seconds_now() - start);
}

/* Killed or stopped anywhere: in a split, in dt_alloc, in dt_free, while it destroys; nobody else waits for long. */
static void death_anywhere(rank_context *at) {
    const unsigned *seed = at->argument;
    int32_t victim = (int32_t)(*seed % (unsigned)at->world), *pid = at->shared;
    bool stops = *seed % 4 == 0;
    dt_status status = dt_barrier(at->comm);
    if (at->rank == victim) {
        *pid = getpid();
        alarm(0), signal(SIGALRM, SIG_DFL), ualarm(100 + *seed * 7919 % 8000, 0);
        if (stops) signal(SIGALRM, stop_here);
    }
    for (int i = 0; status == DT_OK; i++) {
        dt_comm *part = NULL;
        void *memory = NULL;
        double start = seconds_now();
        status = dt_comm_split(at->comm, i % 3 == 1 && at->rank % 2, 0, &part);
        in_time(start, "a split");
        if (status != DT_OK) status = dt_barrier(at->comm); /* the part may have known it first */
        if (part) {
            dt_status inside = dt_alloc(part, 100000, 0, &memory);
            if (inside == DT_OK) inside = dt_all_reduce(part, memory, memory, 20000, DT_F32, DT_SUM);
            if (inside == DT_OK && i % 2) inside = dt_free(part, memory);
            in_time(start, "a part's work");
            EXPECT(NULL, dt_comm_destroy(part), DT_OK);
            if (status == DT_OK && inside != DT_OK) status = dt_barrier(at->comm);
        }
        if (status == DT_OK) status = dt_alloc(at->comm, 50000, 0, &memory);
        if (status == DT_OK) status = dt_free(at->comm, memory);
        in_time(start, "a round");
    }
    EXPECT(at->comm, status, DT_PEER_LOST);
    dt_failure failure = {.struct_bytes = sizeof failure};
    EXPECT(at->comm, dt_failure_info(at->comm, &failure), DT_OK);
    char text[1024] = "";
    dt_last_error(at->comm, text, sizeof text);
    if (stops && at->rank == (victim + 1) % at->world) kill(*pid, SIGCONT);
    CHECK(failure.rank == victim, "rank %d was blamed for rank %d: %s", failure.rank, victim, text);
}

/* Killed or stopped while it joins: the others get in and learn of it, or end with their time. */
static void joins_and_dies(unsigned seed, int32_t rank, int32_t world, const char *address) {
    char error[1024];
    dt_comm *comm;
    int files = open_files(), maps = shared_mappings();
    dt_options options = world_options(rank, world, address, 1000);
    if (rank == (int32_t)(seed % (unsigned)world)) {
        if (seed % 4 == 0) signal(SIGALRM, stop_here);
        ualarm(50 + seed * 7919 % 3000, 0);
    } else {
        alarm(30);
    }
    double start = seconds_now();
    dt_status status = dt_comm_init(&options, &comm, error, sizeof error);
    in_time(start, "joining");
    CHECK(status == DT_OK || status == DT_TIMEOUT || status == DT_PEER_LOST, "status %d: %s", status, error);
    CHECK((status == DT_OK) == (comm != NULL) && (status == DT_OK) == !*error, "status %d: %s", status, error);
    while (status == DT_OK) status = dt_barrier(comm);
    in_time(start, "all of it");
    EXPECT(NULL, dt_comm_destroy(comm), DT_OK);
    CHECK(open_files() == files && shared_mappings() == maps, "%d files and %d mappings before, %d and %d now", files, maps, open_files(), shared_mappings());
}

static void death_while_joining(unsigned seed) {
    char address[64];
    pid_t pids[4];
    int32_t world = 2 + (int32_t)(seed % 3), victim = (int32_t)(seed % (unsigned)world);
    fresh_address(address);
    fflush(NULL);
    for (int32_t rank = 0; rank < world; rank++)
        if ((pids[rank] = fork()) == 0) {
            joins_and_dies(seed, rank, world, address);
            exit(0);
        }
    for (int32_t turn = 0; turn < world; turn++) { /* the victim last: the others do not need it to go on */
        int32_t rank = (victim + 1 + turn) % world;
        int status = 0;
        if (rank == victim) kill(pids[rank], SIGKILL);
        CHECK(waitpid(pids[rank], &status, 0) == pids[rank] && (rank == victim || status == 0), "rank %d ended with %#x", rank, status);
    }
}

int main(int argc, char **argv) {
    static const int32_t worlds[] = {2, 4};
    int files = open_files();
    for (int w = 0; w < 2; w++) {
        ranks_options options = {.world = worlds[w]};
        printf("  %d ranks\n", worlds[w]);
        if (begin_test(argc, argv, "different_counts")) run_ranks(options, different_counts);
        if (begin_test(argc, argv, "different_verbs")) run_ranks(options, different_verbs);
        for (int32_t which = 0; which < 3; which++) {
            options.argument = &which;
            if (begin_test(argc, argv, "different_types_roots_operators")) run_ranks(options, different_types_roots_operators);
        }
        if (begin_test(argc, argv, "different_messages")) run_ranks(options, different_messages);
        if (begin_test(argc, argv, "aborted")) run_ranks(options, aborted);
        if (begin_test(argc, argv, "leaves")) run_ranks(options, leaves);
        if (begin_test(argc, argv, "leaves_and_stays")) run_ranks(options, leaves_and_stays);
        if (begin_test(argc, argv, "free_after_failure")) run_ranks(options, free_after_failure);
        if (begin_test(argc, argv, "stopped")) run_ranks(options, stopped);
        ranks_options dying = {.world = worlds[w], .killed = worlds[w]};
        if (begin_test(argc, argv, "killed")) run_ranks(dying, killed);
        dying.killed = 2;
        if (begin_test(argc, argv, "killed_while_others_send")) run_ranks(dying, killed_while_others_send);
        ranks_options impatient = {.world = worlds[w], .timeout_ms = 300};
        if (begin_test(argc, argv, "absent")) run_ranks(impatient, absent);
        if (begin_test(argc, argv, "partner_never_receives")) run_ranks(impatient, partner_never_receives);
    }
    if (begin_test(argc, argv, "two_threads_at_once")) run_ranks((ranks_options){.world = 2}, two_threads_at_once);
    unsigned deaths = getenv("DT_TESTS_DEATHS") ? (unsigned)atoi(getenv("DT_TESTS_DEATHS")) : 20;
    if (begin_test(argc, argv, "random_death"))
        for (unsigned seed = 1; seed <= deaths; seed++) {
            ranks_options options = {.world = 2 + (int32_t)(seed % 3), .argument = &seed};
            options.killed = (int32_t)(seed % (unsigned)options.world) + 1;
            run_ranks(options, random_death);
        }
    if (begin_test(argc, argv, "death_while_joining"))
        for (unsigned seed = 1; seed <= deaths / 2; seed++) death_while_joining(seed);
    if (begin_test(argc, argv, "death_anywhere"))
        for (unsigned seed = 1; seed <= deaths; seed++) {
            ranks_options options = {.world = 2 + (int32_t)(seed % 3), .argument = &seed};
            options.killed = (int32_t)(seed % (unsigned)options.world) + 1;
            run_ranks(options, death_anywhere);
        }
    CHECK(open_files() == files, "%d files were open before, %d are now", files, open_files());
    CHECK(waitpid(-1, NULL, WNOHANG) == -1, "a process is left over");
    return 0;
}
