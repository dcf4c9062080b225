/* Ranks that MPI's launcher started: this process is one of them. Smaller worlds are split off; larger ones than MPI's are left out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ranks.h"

enum { LIMIT_S = 140 };

static dt_comm *whole;

static void begin(void) {
    char error[1024];
    const char *checked = getenv("DT_TESTS_CHECKED");
    dt_options options = {.struct_bytes = sizeof options, .transport = DT_TRANSPORT_MPI, .rank = -1, .timeout_ms = 60000, .segment_bytes = 16384,
                          .flags = checked ? DT_CHECK_CALLS | DT_FIXED_ORDER : 0};
    dt_status status = dt_comm_init(&options, &whole, error, sizeof error);
    CHECK(status == DT_OK, "%s", error);
    alarm(LIMIT_S);
}

static void end(void) { dt_comm_destroy(whole); }

void run_ranks(ranks_options options, void (*body)(rank_context *)) {
    dt_description it = {.struct_bytes = sizeof it};
    if (!whole) {
        begin();
        atexit(end); /* before MPI's, which began earlier */
    }
    EXPECT(whole, dt_comm_describe(whole, &it), DT_OK);
    if (options.world > it.world_size) return;
    rank_context context = {.rank = it.rank, .world = options.world, .argument = options.argument};
    if (options.world == it.world_size) {
        context.comm = whole;
        body(&context);
    } else {
        EXPECT(whole, dt_comm_split(whole, it.rank < options.world ? 0 : -1, 0, &context.comm), DT_OK);
        if (context.comm) body(&context);
        EXPECT(context.comm, dt_comm_destroy(context.comm), DT_OK);
    }
    EXPECT(whole, dt_barrier(whole), DT_OK);
}

/* MPI opens and closes files as it likes. */
int open_files(void) { return 0; }
