#include "nccl_ranks.h"

#include <pthread.h>
#include <string.h>

typedef struct start {
    nccl_world world;
    void (*body)(rank_context *);
    const void *unique_id;
    int32_t rank;
} start;

dt_options nccl_options(int32_t rank, nccl_world world, const void *unique_id) {
    return (dt_options){.struct_bytes = sizeof(dt_options), .transport = DT_TRANSPORT_NCCL, .rank = rank, .world_size = world.size, .flags = world.flags,
                        .timeout_ms = world.timeout_ms ? world.timeout_ms : 30000, .unique_id = unique_id, .unique_id_bytes = DT_UNIQUE_ID_BYTES,
                        .device = rank};
}

static void *run(void *argument) {
    const start *from = argument;
    char error[1024] = "";
    rank_context context = {.rank = from->rank, .world = from->world.size, .argument = from->world.argument};
    dt_options options = nccl_options(from->rank, from->world, from->unique_id);
    CHECK(dt_comm_init(&options, &context.comm, error, sizeof error) == DT_OK, "rank %d: %s", from->rank, error);
    from->body(&context);
    EXPECT(NULL, dt_comm_destroy(context.comm), DT_OK);
    CHECK(!fake_has_context(), "rank %d leaves a current context", from->rank);
    return NULL;
}

void run_nccl_ranks(nccl_world world, void (*body)(rank_context *)) {
    char id[DT_UNIQUE_ID_BYTES], error[1024];
    pthread_t threads[FAKE_DEVICES];
    start starts[FAKE_DEVICES];
    int before = fake_left();
    CHECK(dt_nccl_unique_id(id, sizeof id, error, sizeof error) == DT_OK, "%s", error);
    for (int32_t rank = 0; rank < world.size; rank++) {
        starts[rank] = (start){world, body, id, rank};
        pthread_create(&threads[rank], NULL, run, &starts[rank]);
    }
    for (int32_t rank = 0; rank < world.size; rank++) pthread_join(threads[rank], NULL);
    CHECK(fake_left() == before, "%d allocations, streams, contexts and communicators are left", fake_left() - before);
}
