/* Every collective, type, operator, place and size, judged exactly. Arguments: [threads] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ranks.h"
#include "values.h"

enum { GUARD = 64, LARGEST = 10007 };

static const int64_t sizes[] = {0, 1, 2, 7, 64, 100, 1023, 4097, LARGEST};
static const char *verbs[] = {"all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce", "all_to_all"};
enum { ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, BROADCAST, REDUCE, ALL_TO_ALL, VERBS };

typedef struct trial {
    rank_context *at;
    int32_t verb, dtype, op, root;
    int64_t count;
    bool in_place;
    char *send, *recv; /* room for world * LARGEST elements and guards */
} trial;

static int64_t send_parts(const trial *t) { return t->verb == REDUCE_SCATTER || t->verb == ALL_TO_ALL ? t->at->world : 1; }
static int64_t recv_parts(const trial *t) { return t->verb == ALL_GATHER || t->verb == ALL_TO_ALL ? t->at->world : 1; }

static double sent(const trial *t, int32_t rank, int64_t element) { return input_value(t->op, t->dtype, rank, t->at->world, element); }

/* What this rank must find in element e of recv. */
static double wanted(const trial *t, int64_t e) {
    int32_t rank = t->at->rank, world = t->at->world;
    switch (t->verb) {
    case ALL_REDUCE:
    case REDUCE: return reduced_value(t->op, t->dtype, world, e);
    case REDUCE_SCATTER: return reduced_value(t->op, t->dtype, world, rank * t->count + e);
    case ALL_GATHER: return sent(t, (int32_t)(e / t->count), e % t->count);
    case BROADCAST: return sent(t, t->root, e);
    default: return sent(t, (int32_t)(e / t->count), rank * t->count + e % t->count);
    }
}

static dt_status call(const trial *t, const void *send, void *recv) {
    dt_comm *comm = t->at->comm;
    switch (t->verb) {
    case ALL_REDUCE: return dt_all_reduce(comm, send, recv, t->count, t->dtype, t->op);
    case REDUCE_SCATTER: return dt_reduce_scatter(comm, send, recv, t->count, t->dtype, t->op);
    case ALL_GATHER: return dt_all_gather(comm, send, recv, t->count, t->dtype);
    case BROADCAST: return dt_broadcast(comm, send, recv, t->count, t->dtype, t->root);
    case REDUCE: return dt_reduce(comm, send, recv, t->count, t->dtype, t->op, t->root);
    default: return dt_all_to_all(comm, send, recv, t->count, t->dtype);
    }
}

/* Where in place puts the smaller buffer within the larger one. */
static void place(const trial *t, char **send, char **recv) {
    int64_t own = t->at->rank * t->count * dt_dtype_bytes(t->dtype);
    *send = t->send;
    *recv = t->recv;
    if (!t->in_place) return;
    *recv = t->verb == REDUCE_SCATTER ? t->send + own : t->send;
    if (t->verb == ALL_GATHER) *send = t->send + own;
}

static void run_trial(const trial *t) {
    char *send, *recv;
    int64_t size = dt_dtype_bytes(t->dtype), sends = t->count * send_parts(t), receives = t->count * recv_parts(t);
    bool has_result = t->verb != REDUCE || t->at->rank == t->root;
    place(t, &send, &recv);
    memset(recv, 0x5A, (size_t)(receives * size));
    for (int64_t e = 0; e < sends; e++) put_value(send, e, t->dtype, sent(t, t->at->rank, e));
    memset(recv + receives * size, 0xA5, t->in_place ? 0 : GUARD);
    EXPECT(t->at->comm, call(t, send, recv), DT_OK);
    for (int64_t e = 0; has_result && e < receives; e++) {
        double found = get_value(recv, e, t->dtype), right = wanted(t, e);
        CHECK(found == right, "%s, dtype %d, op %d, root %d, %lld elements, %s, rank %d of %d: element %lld is %g, wanted %g", verbs[t->verb],
              t->dtype, t->op, t->root, (long long)t->count, t->in_place ? "in place" : "apart", t->at->rank, t->at->world, (long long)e, found, right);
    }
    for (int i = 0; !t->in_place && has_result && i < GUARD; i++)
        CHECK((unsigned char)recv[receives * size + i] == 0xA5, "%s of %lld elements wrote past its end", verbs[t->verb], (long long)t->count);
    for (int64_t e = 0; !t->in_place && e < sends; e++)
        CHECK(get_value(send, e, t->dtype) == sent(t, t->at->rank, e), "%s changed its input at %lld", verbs[t->verb], (long long)e);
}

/* thorough: every size with every type and operator; otherwise they take turns. */
static void every_call(rank_context *at, char *send, char *recv, bool thorough) {
    int turn = 0;
    for (int32_t verb = 0; verb < VERBS; verb++)
        for (int32_t dtype = DT_F32; dtype <= DT_BF16; dtype++)
            for (int32_t op = DT_SUM; op <= (verb == ALL_GATHER || verb == BROADCAST || verb == ALL_TO_ALL ? DT_SUM : DT_AVERAGE); op++)
                for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                    if (!thorough && (turn++ + (int)s) % 4) continue;
                    for (int in_place = 0; in_place < 2; in_place++) {
                        int32_t roots = (verb == BROADCAST || verb == REDUCE) && sizes[s] == 100 ? at->world : 1;
                        for (int32_t root = 0; root < roots; root++)
                            run_trial(&(trial){at, verb, dtype, op, roots == 1 ? at->world - 1 : root, sizes[s], in_place, send, recv});
                    }
                }
}

static void ordinary(rank_context *at) {
    size_t bytes = (size_t)at->world * LARGEST * 8 + 4 * GUARD;
    char *send = malloc(bytes), *recv = malloc(bytes);
    const bool *misaligned = at->argument;
    every_call(at, send + (*misaligned ? 3 : 0), recv + (*misaligned ? 5 : 0), at->world == 2 && !*misaligned);
    free(send);
    free(recv);
}

static void registered(rank_context *at) {
    int64_t bytes = (int64_t)at->world * LARGEST * 8 + 4 * GUARD;
    void *send, *recv;
    const bool *misaligned = at->argument;
    EXPECT(at->comm, dt_alloc(at->comm, bytes, 0, &send), DT_OK);
    EXPECT(at->comm, dt_alloc(at->comm, bytes, DT_HUGE_PAGES, &recv), DT_OK);
    every_call(at, (char *)send + (*misaligned ? 2 : 0), (char *)recv + (*misaligned ? 1 : 0), at->world == 2 && !*misaligned);
    EXPECT(at->comm, dt_free(at->comm, send), DT_OK);
}

/* Some ranks have registered memory, others not: all must choose the same way. */
static void mixed(rank_context *at) {
    int64_t bytes = (int64_t)at->world * LARGEST * 8 + 4 * GUARD;
    void *memory;
    char *ordinary = malloc((size_t)bytes), *recv = malloc((size_t)bytes);
    EXPECT(at->comm, dt_alloc(at->comm, bytes, 0, &memory), DT_OK);
    every_call(at, at->rank % 2 ? memory : ordinary, recv, false);
    free(ordinary);
    free(recv);
}

static void barriers(rank_context *at) {
    for (int i = 0; i < 1000; i++) EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
}

/* What the documented tree gives for one element, in f32. */
static float tree(const float *values, int32_t count) {
    int32_t left = 1;
    if (count == 1) return values[0];
    while (left * 2 < count) left *= 2;
    return tree(values, left) + tree(values + left, count - left);
}

static float random_number(int32_t rank, int64_t element) {
    uint32_t bits = (uint32_t)(rank + 1) * 2654435761u ^ (uint32_t)element * 2246822519u;
    bits ^= bits >> 13;
    bits *= 3266489917u;
    return ((float)(bits >> 8) - 8388608.0f) / (float)(1 << (bits & 15));
}

/* Sums that round: the same bits whatever the size of a call, the memory, the verb. */
static void bits(rank_context *at) {
    enum { COUNT = 70000 };
    static const int64_t pieces[] = {1, 3, 333, 5000, 20011, COUNT};
    float *data[2] = {malloc(COUNT * 4), NULL}, *wanted = malloc(COUNT * 4);
    EXPECT(at->comm, dt_alloc(at->comm, COUNT * 4, 0, (void **)&data[1]), DT_OK);
    for (int64_t e = 0; e < COUNT; e++) {
        float values[128];
        for (int32_t rank = 0; rank < at->world; rank++) values[rank] = random_number(rank, e);
        wanted[e] = tree(values, at->world);
    }
    for (int way = 0; way < 3; way++)
        for (int registered = 0; registered < 2; registered++)
            for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
                float *to = data[registered];
                int64_t piece = pieces[p], end = piece < 300 ? 500 : COUNT, root = way == 2 ? at->world - 1 : at->rank;
                for (int64_t e = 0; e < end; e++) to[e] = random_number(at->rank, e);
                EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
                for (int64_t e = 0; e < end; e += piece) {
                    int64_t length = end - e < piece ? end - e : piece;
                    dt_status status = way == 0   ? dt_all_reduce(at->comm, to + e, to + e, length, DT_F32, DT_SUM)
                                       : way == 2 ? dt_reduce(at->comm, to + e, to + e, length, DT_F32, DT_SUM, at->world - 1)
                                                  : dt_all_reduce(at->comm, to + e, to + e, length, DT_F32, DT_AVERAGE);
                    EXPECT(at->comm, status, DT_OK);
                }
                for (int64_t e = 0; root == at->rank && e < end; e++) {
                    float right = way == 1 ? wanted[e] / (float)at->world : wanted[e];
                    CHECK(memcmp(&to[e], &right, 4) == 0, "way %d, pieces of %lld, registered %d: element %lld is %a, wanted %a", way, (long long)piece,
                          registered, (long long)e, to[e], right);
                }
            }
    free(data[0]);
    free(wanted);
}

int main(int argc, char **argv) {
    bool threads = argc > 1 && strcmp(argv[1], "threads") == 0, quick = getenv("DT_TESTS_QUICK") != NULL;
    static const int32_t worlds[] = {1, 2, 3, 4, 7, 8};
    static const bool no = false, yes = true;
    int files = open_files();
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        if (quick && worlds[i] > 3) break;
        ranks_options options = {.world = worlds[i], .threads = threads, .segment_bytes = 16384, .argument = &no};
        printf("  %d ranks\n", worlds[i]);
        fflush(stdout);
        run_ranks(options, barriers);
        run_ranks(options, ordinary);
        run_ranks(options, registered);
        run_ranks(options, mixed);
        run_ranks(options, bits);
        options.argument = &yes;
        options.segment_bytes = 0;
        run_ranks(options, ordinary);
        run_ranks(options, registered);
    }
    if (!quick && !threads) { /* many ranks, each algorithm once */
        printf("  16 ranks\n");
        run_ranks((ranks_options){.world = 16}, barriers);
        run_ranks((ranks_options){.world = 16}, bits);
    }
    CHECK(open_files() == files, "%d files were open before, %d are now", files, open_files());
    return 0;
}
