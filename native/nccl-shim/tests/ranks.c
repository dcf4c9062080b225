#include "ranks.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_S = 60 };

dt_options world_options(int32_t rank, int32_t world, const char *address, int64_t timeout_ms) {
    return (dt_options){.struct_bytes = sizeof(dt_options), .transport = DT_TRANSPORT_SHM, .rank = rank, .world_size = world,
                        .timeout_ms = timeout_ms ? timeout_ms : 30000, .address = address, .secret = "a secret of tests", .secret_bytes = 17};
}

typedef struct rank_start {
    ranks_options options;
    void (*body)(rank_context *);
    const char *address;
    void *shared;
    int32_t rank;
} rank_start;

static void *run_rank(void *argument) {
    const rank_start *start = argument;
    char error[1024];
    dt_options options = world_options(start->rank, start->options.world, start->address, start->options.timeout_ms);
    rank_context context = {.rank = start->rank, .world = start->options.world, .shared = start->shared, .argument = start->options.argument};
    options.segment_bytes = start->options.segment_bytes;
    options.flags = start->options.flags | (start->rank == start->options.world - 1 ? start->options.last_flags : 0);
    dt_status status = dt_comm_init(&options, &context.comm, error, sizeof error);
    CHECK(status == DT_OK, "rank %d: %s", start->rank, error);
    start->body(&context);
    EXPECT(NULL, dt_comm_destroy(context.comm), DT_OK);
    return NULL;
}

static void run_threads(rank_start *starts, int32_t world) {
    pthread_t threads[128];
    for (int32_t rank = 0; rank < world; rank++) pthread_create(&threads[rank], NULL, run_rank, &starts[rank]);
    for (int32_t rank = 0; rank < world; rank++) pthread_join(threads[rank], NULL);
}

static void run_processes(rank_start *starts, const ranks_options *options) {
    pid_t pids[128];
    fflush(NULL);
    for (int32_t rank = 0; rank < options->world; rank++)
        if ((pids[rank] = fork()) == 0) {
            alarm(LIMIT_S);
            run_rank(&starts[rank]);
            fflush(NULL);
            exit(0); /* so that leaks are looked for */
        }
    int failures = 0;
    for (int32_t rank = 0; rank < options->world; rank++) {
        int status = 0;
        while (waitpid(pids[rank], &status, WUNTRACED) == pids[rank] && WIFSTOPPED(status)) continue;
        bool expected = options->killed == rank + 1 && WIFSIGNALED(status);
        if (status == 0 || expected) continue;
        failures++;
        fprintf(stderr, "rank %d of %d (pid %d) ended with %s %d\n", rank, options->world, pids[rank], WIFSIGNALED(status) ? "signal" : "code",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    if (failures) exit(1);
}

void run_ranks(ranks_options options, void (*body)(rank_context *)) {
    char address[64];
    rank_start starts[128];
    void *shared = mmap(NULL, RANKS_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fresh_address(address);
    for (int32_t rank = 0; rank < options.world; rank++) starts[rank] = (rank_start){options, body, address, shared, rank};
    if (options.threads)
        run_threads(starts, options.world);
    else
        run_processes(starts, &options);
    munmap(shared, RANKS_SHARED_BYTES);
}

int open_files(void) {
    int count = 0;
    DIR *files = opendir("/proc/self/fd");
    while (files && readdir(files)) count++;
    if (files) closedir(files);
    return count;
}

int shared_mappings(void) {
    char line[4500];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps, "no /proc/self/maps");
    while (fgets(line, sizeof line, maps)) count += strstr(line, "memfd:disttrain") != NULL;
    fclose(maps);
    return count;
}
