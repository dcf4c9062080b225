/* nccl over stand-ins: what is asked of NCCL, in which order, and what comes of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nccl_ranks.h"
#include "values.h"

static const int32_t nccl_types[] = {[DT_F32] = 7, [DT_F64] = 8, [DT_I32] = 2, [DT_I64] = 4, [DT_F16] = 6, [DT_BF16] = 9};
static const int32_t nccl_ops[] = {[DT_SUM] = 0, [DT_PRODUCT] = 1, [DT_MIN] = 3, [DT_MAX] = 2, [DT_AVERAGE] = 4};
enum { COUNT = 37 };

static void *device_memory(rank_context *at, int64_t bytes) {
    void *memory = NULL;
    EXPECT(at->comm, dt_alloc(at->comm, bytes, 0, &memory), DT_OK);
    for (int64_t i = 0; i < bytes; i++) CHECK(((char *)memory)[i] == 0, "byte %lld of new memory is not 0", (long long)i);
    return memory;
}

static void fill(rank_context *at, void *to, int64_t first, int64_t count, int32_t dtype, int32_t op) {
    for (int64_t i = 0; i < count; i++) put_value(to, i, dtype, input_value(op, dtype, at->rank, at->world, first + i));
}

static void check_reduced(rank_context *at, const void *from, int64_t first, int64_t count, int32_t dtype, int32_t op, const char *verb) {
    for (int64_t i = 0; i < count; i++) {
        double found = get_value(from, i, dtype), wanted = reduced_value(op, dtype, at->world, first + i);
        CHECK(found == wanted, "%s, type %d, operator %d, rank %d of %d, element %lld: %g, not %g", verb, dtype, op, at->rank, at->world, (long long)i, found, wanted);
    }
}

static void reductions(rank_context *at) {
    int64_t all = (int64_t)at->world * COUNT;
    char *send = device_memory(at, all * 8), *recv = device_memory(at, all * 8);
    for (int32_t dtype = DT_F32; dtype <= DT_BF16; dtype++)
        for (int32_t op = DT_SUM; op <= DT_AVERAGE; op++)
            for (int32_t in_place = 0; in_place < 2; in_place++) {
                int64_t own = at->rank * COUNT * dt_dtype_bytes(dtype);
                char *to = in_place ? send : recv;
                fill(at, send, 0, COUNT, dtype, op);
                EXPECT(at->comm, dt_all_reduce(at->comm, send, to, COUNT, dtype, op), DT_OK);
                EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
                check_reduced(at, to, 0, COUNT, dtype, op, "all_reduce");
                fill(at, send, 0, all, dtype, op);
                to = in_place ? send + own : recv;
                EXPECT(at->comm, dt_reduce_scatter(at->comm, send, to, COUNT, dtype, op), DT_OK);
                EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
                check_reduced(at, to, at->rank * COUNT, COUNT, dtype, op, "reduce_scatter");
                for (int32_t root = 0; root < at->world; root++) {
                    to = in_place ? send : at->rank == root ? recv : NULL;
                    fill(at, send, 0, COUNT, dtype, op);
                    EXPECT(at->comm, dt_reduce(at->comm, send, to, COUNT, dtype, op, root), DT_OK);
                    EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
                    if (at->rank == root) check_reduced(at, to, 0, COUNT, dtype, op, "reduce");
                }
            }
    EXPECT(at->comm, dt_free(at->comm, send), DT_OK);
    EXPECT(at->comm, dt_free(at->comm, send), DT_INVALID_ARGUMENT);
}

static void check_part(const void *from, int64_t first, int32_t rank, int32_t world, int64_t element, const char *verb) {
    for (int64_t i = 0; i < COUNT; i++) {
        double found = get_value(from, first + i, DT_F16), wanted = input_value(DT_SUM, DT_F16, rank, world, element + i);
        CHECK(found == wanted, "%s: element %lld is %g, not %g", verb, (long long)(first + i), found, wanted);
    }
}

static void moves(rank_context *at) {
    int64_t all = (int64_t)at->world * COUNT;
    char *send = device_memory(at, all * 2), *recv = device_memory(at, all * 2);
    for (int32_t in_place = 0; in_place < 2; in_place++) {
        char *own = in_place ? recv + at->rank * COUNT * 2 : send;
        fill(at, own, 0, COUNT, DT_F16, DT_SUM);
        EXPECT(at->comm, dt_all_gather(at->comm, own, recv, COUNT, DT_F16), DT_OK);
        EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
        for (int32_t rank = 0; rank < at->world; rank++) check_part(recv, rank * COUNT, rank, at->world, 0, "all_gather");
        for (int32_t root = 0; root < at->world; root++) {
            fill(at, send, 0, COUNT, DT_F16, DT_SUM);
            char *to = in_place ? send : recv;
            EXPECT(at->comm, dt_broadcast(at->comm, at->rank == root || in_place ? send : NULL, to, COUNT, DT_F16, root), DT_OK);
            EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
            check_part(to, 0, root, at->world, 0, "broadcast");
        }
        fill(at, send, 0, all, DT_F16, DT_SUM);
        char *to = in_place ? send : recv;
        EXPECT(at->comm, dt_all_to_all(at->comm, send, to, COUNT, DT_F16), DT_OK);
        EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
        for (int32_t rank = 0; rank < at->world; rank++) check_part(to, rank * COUNT, rank, at->world, at->rank * COUNT, "all_to_all");
    }
    EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
    EXPECT(at->comm, dt_all_reduce(at->comm, NULL, NULL, 0, DT_F32, DT_SUM), DT_OK);
    EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
}

/* One to the right, one from the left; as a list, and as a group. */
static void exchanges(rank_context *at) {
    float out = (float)(100 + at->rank), in[3] = {0, 0, 0};
    int32_t right = (at->rank + 1) % at->world, left = (at->rank + at->world - 1) % at->world;
    const dt_transfer both[] = {{DT_VERB_SEND, right, DT_F32, 0, &out, 1}, {DT_VERB_RECV, left, DT_F32, 0, &in[0], 1}, {DT_VERB_RECV, left, DT_F32, 0, NULL, 0}};
    EXPECT(at->comm, dt_exchange(at->comm, both, 3), DT_OK);
    EXPECT(at->comm, dt_group_start(at->comm), DT_OK);
    EXPECT(at->comm, dt_recv(at->comm, &in[1], 1, DT_F32, left), DT_OK);
    EXPECT(at->comm, dt_synchronize(at->comm), DT_INVALID_USAGE);
    EXPECT(at->comm, dt_send(at->comm, &out, 1, DT_F32, right), DT_OK);
    EXPECT(at->comm, dt_group_end(at->comm), DT_OK);
    if (at->world > 1) EXPECT(at->comm, at->rank == 0 ? dt_send(at->comm, &out, 1, DT_F32, 1) : at->rank == 1 ? dt_recv(at->comm, &in[2], 1, DT_F32, 0) : DT_OK, DT_OK);
    EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
    CHECK(in[0] == (float)(100 + left) && in[1] == in[0], "received %g and %g from rank %d", in[0], in[1], left);
    CHECK(at->rank != 1 || in[2] == 100, "received %g", in[2]);
    const dt_transfer added = {DT_VERB_RECV_REDUCE, left, DT_F32, DT_SUM, &in[0], 1};
    if (at->world > 1) {
        EXPECT(at->comm, dt_exchange(at->comm, &added, 1), DT_UNSUPPORTED);
        EXPECT_TEXT(at->comm, "recv_reduce", "scratch");
    }
}

static void parts(rank_context *at) {
    dt_comm *part, *none;
    float data = (float)(1 << at->rank), sum = 0;
    dt_description whole = {.struct_bytes = sizeof whole}, it = whole;
    EXPECT(at->comm, dt_comm_split(at->comm, at->rank % 2, -at->rank, &part), DT_OK); /* in reverse */
    EXPECT(part, dt_comm_describe(part, &it), DT_OK);
    EXPECT(at->comm, dt_comm_describe(at->comm, &whole), DT_OK);
    int32_t size = (at->world + 1 - at->rank % 2) / 2;
    CHECK(it.world_size == size && it.rank == size - 1 - at->rank / 2 && it.group != whole.group && it.transport == DT_TRANSPORT_NCCL && whole.sequence == 1,
          "rank %d of %d, sequence %llu", it.rank, it.world_size, (unsigned long long)whole.sequence);
    EXPECT(part, dt_all_reduce(part, &data, &sum, 1, DT_F32, DT_SUM), DT_OK);
    EXPECT(part, dt_synchronize(part), DT_OK);
    float wanted = 0;
    for (int32_t rank = at->rank % 2; rank < at->world; rank += 2) wanted += (float)(1 << rank);
    CHECK(sum == wanted, "the part's sum is %g, not %g", sum, wanted);
    EXPECT(at->comm, dt_comm_split(at->comm, at->rank == 0 ? -7 : 5, 0, &none), DT_OK);
    CHECK((none == NULL) == (at->rank == 0), "rank %d is in %s part", at->rank, none ? "a" : "no");
    EXPECT(NULL, dt_comm_destroy(none), DT_OK);
    EXPECT(NULL, dt_comm_destroy(part), DT_OK);
}

static void says(const char *line) {
    static char calls[1 << 20];
    fake_calls(calls, sizeof calls);
    CHECK(strstr(calls, line), "\"%s\" is not among the calls:\n%s", line, calls);
}

/* The numbers, sizes, places and streams that NCCL is given. */
static void numbers(rank_context *at) {
    static char data[4096], other[4096];
    char wanted[200];
    void *streams[2];
    int (*create)(void **, unsigned int) = *(int (*const *)(void **, unsigned int))at->argument;
    says("ncclCommInitRankConfig(size 1, rank 0, blocking 0)");
    for (int32_t dtype = DT_F32; dtype <= DT_BF16; dtype++)
        for (int32_t op = DT_SUM; op <= DT_AVERAGE; op++) {
            fake_forget();
            EXPECT(at->comm, dt_all_reduce(at->comm, data, data, 5 + dtype, dtype, op), DT_OK);
            EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
            snprintf(wanted, sizeof wanted, "rank 0 of 1: ncclAllReduce(count %d, dtype %d, op %d, root 0, in place, stream 0)\n", 5 + dtype, nccl_types[dtype], nccl_ops[op]);
            says(wanted);
        }
    CHECK(create(&streams[0], 1) == 0 && create(&streams[1], 1) == 0, "no stream%s", "");
    for (int i = 0; i < 2; i++) {
        fake_forget();
        EXPECT(at->comm, dt_set_stream(at->comm, streams[i]), DT_OK);
        EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
        EXPECT(at->comm, dt_reduce(at->comm, data, other, 3, DT_I64, DT_MAX, 0), DT_OK);
        EXPECT(at->comm, dt_all_to_all(at->comm, data, other, 9, DT_BF16), DT_OK);
        EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
        int stream = fake_stream_number(streams[i]);
        snprintf(wanted, sizeof wanted,
                 "rank 0 of 1: ncclAllReduce(count 1, dtype 2, op 0, root 0, in place, stream %d)\n"
                 "rank 0 of 1: ncclReduce(count 3, dtype 4, op 2, root 0, two buffers, stream %d)\n"
                 "ncclGroupStart()\n", stream, stream);
        says(wanted);
        snprintf(wanted, sizeof wanted,
                 "rank 0 of 1: ncclSend(count 9, dtype 9, op 0, root 0, two buffers, stream %d)\n"
                 "rank 0 of 1: ncclRecv(count 9, dtype 9, op 0, root 0, two buffers, stream %d)\n"
                 "ncclGroupEnd()\n", stream, stream);
        says(wanted);
    }
}

extern int cuStreamCreate(void **stream, unsigned int flags);
extern int cuStreamDestroy_v2(void *stream);
extern int cuCtxPushCurrent_v2(void *context);
extern int cuCtxPopCurrent_v2(void **context);

static void *s_streams[8];
static int s_stream_count;
static int an_own_context; /* of device 0 */

static int create_stream(void **stream, unsigned int flags) {
    void *ignored;
    cuCtxPushCurrent_v2(&an_own_context);
    int result = cuStreamCreate(stream, flags);
    cuCtxPopCurrent_v2(&ignored);
    s_streams[s_stream_count++] = *stream;
    return result;
}

static void drop_streams(void) {
    void *ignored;
    cuCtxPushCurrent_v2(&an_own_context);
    while (s_stream_count) cuStreamDestroy_v2(s_streams[--s_stream_count]);
    cuCtxPopCurrent_v2(&ignored);
}

/* A call is under way until its stream has been waited for; and on that stream only. */
static void records(rank_context *at) {
    static float data[8];
    dt_flight_record found[DT_FLIGHT_RECORDS];
    int64_t count;
    for (int i = 0; i < 300; i++) EXPECT(at->comm, dt_all_reduce(at->comm, data, data, 2, DT_F32, DT_SUM), DT_OK);
    EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
    EXPECT(at->comm, dt_broadcast(at->comm, data, data, 8, DT_F32, 0), DT_OK);
    EXPECT(at->comm, dt_flight_records(at->comm, 0, found, DT_FLIGHT_RECORDS, &count), DT_OK);
    CHECK(count == 256 && found[0].sequence == 46 && found[254].state == DT_RECORD_DONE && found[254].duration_ns > 0, "%lld records", (long long)count);
    CHECK(found[255].sequence == 301 && found[255].verb == DT_VERB_BROADCAST && found[255].state == DT_RECORD_ENTERED && found[255].count == 8, "state %d",
          found[255].state);
    EXPECT(at->comm, dt_synchronize(at->comm), DT_OK);
    EXPECT(at->comm, dt_flight_records(at->comm, 0, found, 1, &count), DT_OK);
    CHECK(count == 1 && found[0].sequence == 301 && found[0].state == DT_RECORD_DONE, "state %d", found[0].state);
}

int main(int argc, char **argv) {
    int32_t worlds[] = {1, 2, 3, 4};
    int32_t count = getenv("DT_TESTS_QUICK") ? 3 : 4;
    for (int32_t i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "every verb, %d ranks", worlds[i]);
        if (begin_test(argc, argv, name)) {
            for (int times = 0; times < 3; times += 2) { /* also if each call is found in progress twice */
                fake_nccl_in_progress(times);
                uint32_t flags = times ? DT_CHECK_CALLS : 0;
                run_nccl_ranks((nccl_world){.size = worlds[i], .flags = flags}, reductions);
                run_nccl_ranks((nccl_world){.size = worlds[i], .flags = flags}, moves);
                run_nccl_ranks((nccl_world){.size = worlds[i], .flags = flags}, exchanges);
                if (worlds[i] > 1) run_nccl_ranks((nccl_world){.size = worlds[i], .flags = flags}, parts);
            }
            fake_nccl_in_progress(0);
        }
    }
    if (begin_test(argc, argv, "the numbers that NCCL is given")) {
        int (*create)(void **, unsigned int) = create_stream;
        fake_forget();
        int before = fake_left();
        char id[DT_UNIQUE_ID_BYTES], error[1024];
        CHECK(dt_nccl_unique_id(id, sizeof id, error, sizeof error) == DT_OK, "%s", error);
        dt_options options = nccl_options(0, (nccl_world){.size = 1}, id);
        rank_context context = {.rank = 0, .world = 1, .argument = &create};
        CHECK(dt_comm_init(&options, &context.comm, error, sizeof error) == DT_OK, "%s", error);
        numbers(&context);
        EXPECT(context.comm, dt_comm_destroy(context.comm), DT_OK);
        says("rank 0: ncclCommFinalize()\nrank 0: ncclCommDestroy()\n");
        drop_streams();
        CHECK(fake_left() == before, "%d are left", fake_left() - before);
    }
    if (begin_test(argc, argv, "flight records")) run_nccl_ranks((nccl_world){.size = 1}, records);
    return 0;
}
