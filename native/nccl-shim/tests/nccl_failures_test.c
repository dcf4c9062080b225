/* nccl over stand-ins: what goes wrong ends in time, with a text, and with ncclCommAbort. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nccl_ranks.h"

static void rest_ms(int ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000l}, NULL); }

static void stays_dead(rank_context *at, dt_status status) {
    static _Thread_local float data[4];
    double start = seconds_now();
    void *memory;
    dt_comm *part;
    EXPECT(at->comm, dt_status_now(at->comm), status);
    EXPECT(at->comm, dt_all_reduce(at->comm, data, data, 4, DT_F32, DT_SUM), status);
    EXPECT(at->comm, dt_barrier(at->comm), status);
    EXPECT(at->comm, dt_synchronize(at->comm), status);
    EXPECT(at->comm, dt_set_stream(at->comm, NULL), status);
    EXPECT(at->comm, dt_alloc(at->comm, 64, 0, &memory), status);
    EXPECT(at->comm, dt_comm_split(at->comm, 0, 0, &part), status);
    if (at->world > 1) EXPECT(at->comm, dt_exchange(at->comm, &(dt_transfer){DT_VERB_SEND, (at->rank + 1) % at->world, DT_F32, 0, data, 1}, 1), status);
    CHECK(seconds_now() - start < 1, "calls on a dead communicator took %g s", seconds_now() - start);
}

static void hangs(rank_context *at) {
    float data[4] = {0};
    void *memory;
    EXPECT(at->comm, dt_alloc(at->comm, 64, 0, &memory), DT_OK);
    EXPECT(at->comm, dt_all_reduce(at->comm, data, data, 4, DT_F32, DT_SUM), DT_OK);
    double start = seconds_now();
    EXPECT(at->comm, dt_synchronize(at->comm), DT_TIMEOUT);
    CHECK(seconds_now() - start > 0.1 && seconds_now() - start < 20, "after %g s", seconds_now() - start);
    EXPECT_TEXT(at->comm, "dt_synchronize timed out after 150 ms", "last call #1 all_reduce(f32, sum, 4 elements), under way");
    stays_dead(at, DT_TIMEOUT);
    EXPECT(at->comm, dt_free(at->comm, memory), DT_OK);
}

static void reports_an_error(rank_context *at) {
    float data[4] = {0};
    dt_failure failure = {.struct_bytes = sizeof failure};
    const int *which = at->argument;
    dt_status wanted = which[1];
    EXPECT(at->comm, dt_all_reduce(at->comm, data, data, 4, DT_F32, DT_SUM), DT_OK); /* hangs */
    fake_nccl_error(which[0]);
    EXPECT(at->comm, dt_synchronize(at->comm), wanted);
    EXPECT_TEXT(at->comm, "the last words of the stand-in", which[0] == 6 ? "remote process exited" : "unhandled system error", "#1 all_reduce");
    EXPECT(at->comm, dt_failure_info(at->comm, &failure), DT_OK);
    CHECK(failure.status == wanted && failure.sequence == 1 && failure.verb == DT_VERB_ALL_REDUCE && failure.rank == -1, "status %d", failure.status);
    stays_dead(at, wanted);
}

static void seen_without_waiting(rank_context *at) {
    EXPECT(at->comm, dt_status_now(at->comm), DT_OK);
    fake_nccl_error(6);
    EXPECT(at->comm, dt_status_now(at->comm), DT_PEER_LOST);
    stays_dead(at, DT_PEER_LOST);
}

static void *abort_soon(void *comm) {
    rest_ms(50);
    EXPECT(comm, dt_abort(comm, "enough"), DT_OK);
    return NULL;
}

static void is_aborted(rank_context *at) {
    float data[4] = {0};
    pthread_t thread;
    pthread_create(&thread, NULL, abort_soon, at->comm);
    EXPECT(at->comm, dt_all_reduce(at->comm, data, data, 4, DT_F32, DT_SUM), DT_OK);
    double start = seconds_now();
    EXPECT(at->comm, dt_synchronize(at->comm), DT_ABORTED);
    CHECK(seconds_now() - start < 10, "woken after %g s", seconds_now() - start);
    EXPECT_TEXT(at->comm, "aborted: enough");
    pthread_join(thread, NULL);
    stays_dead(at, DT_ABORTED);
}

/* Aborted at any moment of calls that are found in progress again and again. */
static void is_aborted_anywhere(rank_context *at) {
    float data[4] = {0};
    pthread_t thread;
    dt_status status = DT_OK;
    pthread_create(&thread, NULL, abort_soon, at->comm);
    while (status == DT_OK) {
        status = dt_all_reduce(at->comm, data, data, 4, DT_F32, DT_SUM);
        if (status == DT_OK) status = dt_synchronize(at->comm);
        if (status == DT_OK) status = dt_status_now(at->comm);
    }
    EXPECT(at->comm, status, DT_ABORTED);
    pthread_join(thread, NULL);
}

static void calls_differ(rank_context *at) {
    float data[8] = {0};
    EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
    EXPECT(at->comm, dt_all_reduce(at->comm, data, data, at->rank == at->world - 1 ? 7 : 4, DT_F32, DT_SUM), DT_MISMATCH);
    EXPECT_TEXT(at->comm, "rank 0 (pid", "#2 all_reduce(f32, sum, 4 elements)", "#2 all_reduce(f32, sum, 7 elements)");
    stays_dead(at, DT_MISMATCH);
}

static void nobody_else_comes(void) {
    char id[DT_UNIQUE_ID_BYTES], error[1024];
    dt_comm *comm;
    int before = fake_left();
    CHECK(dt_nccl_unique_id(id, sizeof id, error, sizeof error) == DT_OK, "%s", error);
    dt_options options = nccl_options(0, (nccl_world){.size = 2, .timeout_ms = 100}, id);
    dt_status status = dt_comm_init(&options, &comm, error, sizeof error);
    CHECK(status == DT_TIMEOUT && !comm && strstr(error, "joining (ncclCommInitRankConfig) timed out after 100 ms"), "%d: %s", status, error);
    CHECK(fake_left() == before, "%d are left", fake_left() - before);
}

#define REFUSES(change, status, part)                                                                                                 \
    do {                                                                                                                              \
        char error[1024];                                                                                                             \
        dt_comm *comm = (void *)1;                                                                                                    \
        dt_options o = nccl_options(0, (nccl_world){.size = 1}, id);                                                                  \
        change;                                                                                                                       \
        dt_status found = dt_comm_init(&o, &comm, error, sizeof error);                                                               \
        CHECK(found == status && !comm && strstr(error, part), "it gave %d: %s", found, error);                                       \
    } while (0)

static void bad_options_are_refused(void) {
    char id[DT_UNIQUE_ID_BYTES], foreign[DT_UNIQUE_ID_BYTES] = {1}, text[1024];
    int before = fake_left();
    CHECK(dt_nccl_unique_id(id, 127, text, sizeof text) == DT_INVALID_ARGUMENT && strstr(text, "127"), "%s", text);
    CHECK(dt_nccl_unique_id(NULL, 128, NULL, 0) == DT_INVALID_ARGUMENT, "an id of %s", "null");
    CHECK(dt_nccl_unique_id(id, sizeof id, text, sizeof text) == DT_OK, "%s", text);
    REFUSES(o.flags = DT_FIXED_ORDER, DT_UNSUPPORTED, "fixed-order plans");
    REFUSES(o.unique_id = NULL, DT_INVALID_ARGUMENT, "unique_id: 0 bytes");
    REFUSES(o.unique_id_bytes = 64, DT_INVALID_ARGUMENT, "unique_id: 64 bytes");
    REFUSES(o.device = -1, DT_INVALID_ARGUMENT, "device is -1");
    REFUSES(o.device = FAKE_DEVICES, DT_INVALID_ARGUMENT, "device 16: the CUDA driver has 16");
    REFUSES(o.unique_id = foreign, DT_INVALID_USAGE, "ncclCommInitRankConfig: invalid argument (4): the last words");
    CHECK(dt_transport_available(DT_TRANSPORT_NCCL, text, sizeof text) == DT_OK, "%s", text);
    CHECK(fake_left() == before, "%d are left", fake_left() - before);
}

static void only_nccl_has_streams(rank_context *at) {
    EXPECT(at->comm, dt_set_stream(at->comm, NULL), DT_UNSUPPORTED);
    EXPECT_TEXT(at->comm, "no streams");
    EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
}

static void run_hanging(nccl_world world, void (*body)(rank_context *)) {
    fake_forget();
    fake_nccl_hang(true);
    run_nccl_ranks(world, body);
    fake_nccl_hang(false);
    fake_nccl_error(0);
    CHECK(fake_count("ncclCommAbort()") == world.size && fake_count("ncclCommDestroy()") == 0, "%d aborts for %d ranks", fake_count("ncclCommAbort()"), world.size);
}

int main(int argc, char **argv) {
    if (begin_test(argc, argv, "what hangs ends by the timeout and is aborted")) run_hanging((nccl_world){.size = 2, .timeout_ms = 150}, hangs);
    if (begin_test(argc, argv, "a lost peer")) run_hanging((nccl_world){.size = 1, .argument = (const int[]){6, DT_PEER_LOST}}, reports_an_error);
    if (begin_test(argc, argv, "a system error")) run_hanging((nccl_world){.size = 1, .argument = (const int[]){2, DT_SYSTEM_ERROR}}, reports_an_error);
    if (begin_test(argc, argv, "an error seen without waiting")) run_hanging((nccl_world){.size = 1}, seen_without_waiting);
    if (begin_test(argc, argv, "an abort wakes who waits")) run_hanging((nccl_world){.size = 2}, is_aborted);
    if (begin_test(argc, argv, "an abort at any moment")) {
        fake_nccl_in_progress(3);
        for (int i = 0; i < 5; i++) run_nccl_ranks((nccl_world){.size = 1}, is_aborted_anywhere);
        fake_nccl_in_progress(0);
    }
    if (begin_test(argc, argv, "calls that differ")) run_nccl_ranks((nccl_world){.size = 3, .flags = DT_CHECK_CALLS}, calls_differ);
    if (begin_test(argc, argv, "nobody else comes")) nobody_else_comes();
    if (begin_test(argc, argv, "bad options")) bad_options_are_refused();
    if (begin_test(argc, argv, "streams elsewhere")) run_ranks((ranks_options){.world = 1, .threads = true}, only_nccl_has_streams);
    return 0;
}
