/* Send, receive, groups, exchanges, a ring built on them, and split groups. Arguments: [threads] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ranks.h"
#include "values.h"

static const int64_t sizes[] = {0, 1, 1000, 16384, 100001};
enum { LARGEST = 100001 };

/* Memory for a test: registered or ordinary, by the context's argument. */
static void *memory(rank_context *at, int64_t bytes) {
    void *made = NULL;
    if (*(const bool *)at->argument)
        EXPECT(at->comm, dt_alloc(at->comm, bytes, 0, &made), DT_OK);
    else
        made = malloc((size_t)bytes);
    return made;
}

static void forget(rank_context *at, void *made) {
    if (*(const bool *)at->argument)
        EXPECT(at->comm, dt_free(at->comm, made), DT_OK);
    else
        free(made);
}

static void fill(void *buffer, int32_t dtype, int32_t rank, int32_t world, int64_t count) {
    for (int64_t e = 0; e < count; e++) put_value(buffer, e, dtype, input_value(DT_SUM, dtype, rank, world, e));
}

static void check_from(const void *buffer, int32_t dtype, int32_t rank, int32_t world, int64_t count, const char *what) {
    for (int64_t e = 0; e < count; e++) {
        double found = get_value(buffer, e, dtype), wanted = input_value(DT_SUM, dtype, rank, world, e);
        CHECK(found == wanted, "%s from rank %d: element %lld of %lld is %g, wanted %g", what, rank, (long long)e, (long long)count, found, wanted);
    }
}

/* Rank 0 to each, each back to rank 0, one call at a time. */
static void to_and_fro(rank_context *at) {
    char *buffer = memory(at, LARGEST * 8);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int32_t dtype = DT_F32; dtype <= DT_BF16; dtype++)
            for (int32_t peer = 1; peer < at->world; peer++) {
                if (at->rank == 0) {
                    fill(buffer, dtype, peer, at->world, sizes[s]);
                    EXPECT(at->comm, dt_send(at->comm, buffer, sizes[s], dtype, peer), DT_OK);
                    memset(buffer, 0, (size_t)(sizes[s] * 8));
                    EXPECT(at->comm, dt_recv(at->comm, buffer, sizes[s], dtype, peer), DT_OK);
                    check_from(buffer, dtype, peer, at->world, sizes[s], "what came back");
                } else if (at->rank == peer) {
                    EXPECT(at->comm, dt_recv(at->comm, buffer, sizes[s], dtype, 0), DT_OK);
                    check_from(buffer, dtype, peer, at->world, sizes[s], "what came");
                    EXPECT(at->comm, dt_send(at->comm, buffer, sizes[s], dtype, 0), DT_OK);
                }
            }
    forget(at, buffer);
}

/* Everyone with everyone, itself included, in one group; twice, so that order within a channel shows. */
static void all_in_one_group(rank_context *at) {
    enum { COUNT = 40000 };
    int32_t world = at->world;
    char *out = memory(at, 2l * world * COUNT * 4), *in = memory(at, 2l * world * COUNT * 4);
    for (int32_t peer = 0; peer < 2 * world; peer++) fill(out + peer * COUNT * 4l, DT_F32, at->rank * 100 + peer, world, COUNT);
    EXPECT(at->comm, dt_group_start(at->comm), DT_OK);
    for (int32_t turn = 0; turn < 2; turn++)
        for (int32_t peer = 0; peer < world; peer++) {
            EXPECT(at->comm, dt_send(at->comm, out + (turn * world + peer) * COUNT * 4l, COUNT, DT_F32, peer), DT_OK);
            EXPECT(at->comm, dt_recv(at->comm, in + (turn * world + peer) * COUNT * 4l, COUNT, DT_F32, peer), DT_OK);
        }
    EXPECT(at->comm, dt_group_end(at->comm), DT_OK);
    for (int32_t turn = 0; turn < 2; turn++)
        for (int32_t peer = 0; peer < world; peer++)
            check_from(in + (turn * world + peer) * COUNT * 4l, DT_F32, peer * 100 + turn * world + at->rank, world, COUNT, "a group's message");
    forget(at, in);
    forget(at, out);
}

/* The plain ring over dt_exchange: n - 1 steps that reduce, n - 1 that pass on. */
static void ring_all_reduce(rank_context *at) {
    enum { COUNT = 50021 };
    int32_t world = at->world, next = (at->rank + 1) % world, before = (at->rank + world - 1) % world;
    float *data = memory(at, COUNT * 4);
    int64_t share = (COUNT + world - 1) / world;
    for (int repeat = 0; repeat < 5; repeat++) {
        fill(data, DT_F32, at->rank, world, COUNT);
        EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
        for (int32_t step = 0; step < 2 * (world - 1); step++) {
            bool reduces = step < world - 1;
            int32_t out = (at->rank - step + 2 * world + (reduces ? 0 : 0)) % world, in = (out + world - 1) % world;
            int64_t from = out * share, to = in * share;
            dt_transfer both[2] = {
                {DT_VERB_SEND, next, DT_F32, 0, data + from, COUNT - from < share ? COUNT - from : share},
                {reduces ? DT_VERB_RECV_REDUCE : DT_VERB_RECV, before, DT_F32, DT_SUM, data + to, COUNT - to < share ? COUNT - to : share}};
            EXPECT(at->comm, dt_exchange(at->comm, both, 2), DT_OK);
        }
        for (int64_t e = 0; e < COUNT; e++)
            CHECK(data[e] == reduced_value(DT_SUM, DT_F32, world, e), "ring of %d, element %lld is %g", world, (long long)e, data[e]);
    }
    forget(at, data);
}

/* Messages of random sizes, each rank at its own pace. */
static void random_ring(rank_context *at) {
    enum { MESSAGES = 300 };
    int32_t next = (at->rank + 1) % at->world, before = (at->rank + at->world - 1) % at->world;
    char *out = memory(at, 70000 * 4), *in = memory(at, 70000 * 4);
    for (int message = 0; message < MESSAGES; message++) {
        int64_t sends = (at->rank * 7919 + message * 104729) % 70000, receives = (before * 7919 + message * 104729) % 70000;
        memset(out, (at->rank + message) & 127, (size_t)(sends * 4));
        dt_transfer both[2] = {{DT_VERB_RECV, before, DT_I32, 0, in, receives}, {DT_VERB_SEND, next, DT_I32, 0, out, sends}};
        EXPECT(at->comm, dt_exchange(at->comm, both, 2), DT_OK);
        for (int64_t i = 0; i < receives * 4; i += 97) CHECK(in[i] == ((before + message) & 127), "message %d, byte %lld", message, (long long)i);
    }
    forget(at, in);
    forget(at, out);
}

/* Even and odd ranks in reverse order, each with its own collectives; then parts of parts; the world goes on. */
static void split(rank_context *at) {
    dt_comm *half, *none, *part;
    dt_description it = {.struct_bytes = sizeof it};
    EXPECT(at->comm, dt_comm_split(at->comm, at->rank % 2, -at->rank, &half), DT_OK);
    EXPECT(half, dt_comm_describe(half, &it), DT_OK);
    int32_t size = (at->world + 1 - at->rank % 2) / 2;
    CHECK(it.world_size == size && it.rank == size - 1 - at->rank / 2, "rank %d became %d of %d", at->rank, it.rank, it.world_size);
    for (int turn = 0; turn < 20; turn++) {
        int64_t sum = at->rank, wanted = 0;
        for (int32_t rank = at->rank % 2; rank < at->world; rank += 2) wanted += rank;
        EXPECT(half, dt_all_reduce(half, &sum, &sum, 1, DT_I64, DT_SUM), DT_OK);
        CHECK(sum == wanted, "sum of a color is %lld, wanted %lld", (long long)sum, (long long)wanted);
    }
    void *registered;
    EXPECT(half, dt_alloc(half, 1 << 20, 0, &registered), DT_OK);
    int32_t *numbers = registered;
    for (int32_t i = 0; i < 1 << 18; i++) numbers[i] = at->rank + i;
    EXPECT(half, dt_all_reduce(half, numbers, numbers, 1 << 18, DT_I32, DT_MAX), DT_OK);
    int32_t largest = (at->world - 1) - ((at->world - 1 - at->rank) & 1);
    for (int32_t i = 0; i < 1 << 18; i++) CHECK(numbers[i] == largest + i, "maximum over a color at %d is %d", i, numbers[i] - i);
    EXPECT(half, dt_comm_split(half, at->rank < 2 ? 0 : -1, 0, &part), DT_OK);
    CHECK((part != NULL) == (at->rank < 2), "color -1 gives no communicator");
    EXPECT(half, dt_comm_destroy(part), DT_OK);
    EXPECT(half, dt_comm_destroy(half), DT_OK);
    EXPECT(at->comm, dt_comm_split(at->comm, -1, 0, &none), DT_OK);
    CHECK(none == NULL, "nobody asked for a communicator");
    EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
}

int main(int argc, char **argv) {
    bool threads = argc > 1 && strcmp(argv[1], "threads") == 0, quick = getenv("DT_TESTS_QUICK") != NULL;
    static const int32_t worlds[] = {2, 3, 4, 8};
    static const bool choices[] = {false, true};
    int files = open_files();
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++)
        for (int registered = 0; registered < 2; registered++) {
            if (quick && worlds[i] > 3) break;
            ranks_options options = {.world = worlds[i], .threads = threads, .argument = &choices[registered]};
            printf("  %d ranks, %s memory\n", worlds[i], registered ? "registered" : "ordinary");
            fflush(stdout);
            run_ranks(options, to_and_fro);
            run_ranks(options, all_in_one_group);
            run_ranks(options, ring_all_reduce);
            run_ranks(options, random_ring);
            run_ranks(options, split);
        }
    CHECK(open_files() == files, "%d files were open before, %d are now", files, open_files());
    return 0;
}
