/* Ranks as threads of one process read each other's buffers where they lie: when a call has failed, its caller may unmap them. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "ranks.h"

enum { BYTES = 4 << 20, COUNT = BYTES / 4 };

static void rest_us(long us) { nanosleep(&(struct timespec){0, us * 1000}, NULL); }

typedef struct trial {
    long abort_us;
    bool messages; /* sends and receives instead of sums */
} trial;

static void *abort_soon(void *argument) {
    rank_context *at = argument;
    rest_us(((const trial *)at->argument)->abort_us);
    dt_abort(at->comm, "at a random moment");
    return NULL;
}

static dt_status call(rank_context *at, float *data, bool messages) {
    if (!messages) return dt_all_reduce(at->comm, data, data, COUNT, DT_F32, DT_MAX);
    dt_transfer both[2] = {{DT_VERB_SEND, (at->rank + 1) % at->world, DT_F32, 0, data, COUNT / 2},
                           {DT_VERB_RECV_REDUCE, (at->rank + at->world - 1) % at->world, DT_F32, DT_MAX, data + COUNT / 2, COUNT / 2}};
    return dt_exchange(at->comm, both, 2);
}

static void unmaps_behind_the_failure(rank_context *at) {
    const trial *one = at->argument;
    pthread_t thread;
    float *data = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(data != MAP_FAILED, "no memory");
    for (int i = 0; i < COUNT; i++) data[i] = (float)(i % 7 + at->rank);
    EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
    if (at->rank == 0) pthread_create(&thread, NULL, abort_soon, at);
    uint64_t calls = 1;
    dt_status status = DT_OK;
    for (; status == DT_OK; calls++) status = call(at, data, one->messages);
    munmap(data, BYTES); /* whoever still reads it crashes */
    EXPECT(at->comm, status, DT_ABORTED);
    dt_description found = {.struct_bytes = sizeof found};
    EXPECT(at->comm, dt_comm_describe(at->comm, &found), DT_OK);
    CHECK(found.same_process == 1 && found.sequence <= calls && found.sequence >= (one->messages ? 1 : calls - 1), "%d, sequence %llu of %llu calls",
          found.same_process, (unsigned long long)found.sequence, (unsigned long long)calls);
    if (at->rank == 0) pthread_join(thread, NULL);
}

/* An abort that comes while some have got the memory and others not yet: nobody touches what another one has unmapped, nothing stays. */
static void allocates_until_the_abort(rank_context *at) {
    pthread_t thread;
    EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
    if (at->rank == 0) pthread_create(&thread, NULL, abort_soon, at);
    dt_status status = DT_OK;
    while (status == DT_OK) {
        char *memory[2] = {NULL, NULL};
        for (int i = 0; status == DT_OK && i < 2; i++)
            if ((status = dt_alloc(at->comm, 10000, 0, (void **)&memory[i])) == DT_OK) memory[i][9999] = 1;
        for (int i = 0; i < 2; i++) {
            if (!memory[i]) continue;
            memory[i][0] = 1; /* still there, whatever the others saw */
            dt_status freed = dt_free(at->comm, memory[i]);
            if (status == DT_OK) status = freed;
        }
    }
    EXPECT(at->comm, status, DT_ABORTED);
    if (at->rank == 0) pthread_join(thread, NULL);
}

/* Whoever is still on the way into a part of a communicator that fails does not let the others wait for it. */
static void splits_until_the_abort(rank_context *at) {
    pthread_t thread;
    EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
    if (at->rank == 0) pthread_create(&thread, NULL, abort_soon, at);
    dt_status status = DT_OK;
    while (status == DT_OK) {
        dt_comm *part = NULL;
        double start = seconds_now();
        status = dt_comm_split(at->comm, 0, 0, &part);
        CHECK(seconds_now() - start < 10, "a split took %g s", seconds_now() - start);
        CHECK((status == DT_OK) == (part != NULL), "status %d with%s a part", status, part ? "" : "out");
        EXPECT(NULL, dt_comm_destroy(part), DT_OK);
        if (status == DT_OK) status = dt_status_now(at->comm);
    }
    EXPECT(at->comm, dt_status_now(at->comm), DT_ABORTED);
    if (at->rank == 0) pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    int trials = getenv("DT_TESTS_QUICK") ? 6 : 40;
    int maps = shared_mappings();
    for (int messages = 0; messages < 2; messages++) {
        if (!begin_test(argc, argv, messages ? "unmaps_behind_failed_messages" : "unmaps_behind_failed_sums")) continue;
        for (int i = 0; i < trials; i++) {
            trial one = {.abort_us = 200 + i * 7919 % 9000, .messages = messages};
            run_ranks((ranks_options){.world = 2 + i % 3, .threads = true, .argument = &one}, unmaps_behind_the_failure);
        }
    }
    if (begin_test(argc, argv, "the_longest_timeout"))
        run_ranks((ranks_options){.world = 3, .threads = true, .argument = &(trial){.abort_us = 2000}, .timeout_ms = INT64_MAX}, unmaps_behind_the_failure);
    if (begin_test(argc, argv, "allocates_until_the_abort"))
        for (int i = 0; i < 10 * trials; i++) {
            trial one = {.abort_us = 100 + i * 7919 % 1000};
            run_ranks((ranks_options){.world = 3 + i % 3, .threads = true, .argument = &one, .timeout_ms = 20000}, allocates_until_the_abort);
        }
    if (begin_test(argc, argv, "splits_until_the_abort"))
        for (int i = 0; i < 3 * trials; i++) {
            trial one = {.abort_us = 500 + i * 7919 % 9000};
            run_ranks((ranks_options){.world = 3 + i % 3, .threads = true, .argument = &one}, splits_until_the_abort);
        }
    CHECK(shared_mappings() == maps, "%d mappings of communicators before, %d now", maps, shared_mappings());
    return 0;
}
