/* What the system refuses or brings late, on one rank alone: memory, files, time. The functions below stand before the C library's. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ranks.h"

static _Thread_local int late_ms;        /* the next memory file comes after this time */
static _Thread_local bool out_of_memory; /* calloc has none */
static _Thread_local bool too_many_sent; /* no file may be sent */

static void rest_ms(int ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000l}, NULL); }

int memfd_create(const char *name, unsigned flags) {
    rest_ms(late_ms);
    late_ms = 0;
    return (int)syscall(SYS_memfd_create, name, flags);
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes) { return out_of_memory ? (errno = ENOMEM, NULL) : __real_calloc(count, bytes); }

ssize_t __real_sendmsg(int link, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int link, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int link, const struct msghdr *message, int flags) {
    return too_many_sent ? (errno = ETOOMANYREFS, -1) : __real_sendmsg(link, message, flags);
}

static void files_at_most(int more, struct rlimit *before) {
    int next = dup(0);
    CHECK(next >= 0 && getrlimit(RLIMIT_NOFILE, before) == 0, "no limit of files");
    close(next);
    struct rlimit limit = {(rlim_t)(next + more), before->rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

enum { COUNT = 1 << 16 };

/* Registered memory that all see: what each writes into its part reaches the others. */
static void sums_where_it_lies(rank_context *at) {
    void *memory;
    EXPECT(at->comm, dt_alloc(at->comm, COUNT * 4, 0, &memory), DT_OK);
    int32_t *numbers = memory;
    for (int i = 0; i < COUNT; i++) numbers[i] = i % 1000 + at->rank;
    EXPECT(at->comm, dt_all_reduce(at->comm, memory, memory, COUNT, DT_I32, DT_SUM), DT_OK);
    for (int i = 0; i < COUNT; i++)
        CHECK(numbers[i] == at->world * (i % 1000) + at->world * (at->world - 1) / 2, "rank %d, element %d: %d", at->rank, i, numbers[i]);
    EXPECT(at->comm, dt_free(at->comm, memory), DT_OK);
}

static void memory_that_came_too_late(rank_context *at) {
    void *memory = at;
    EXPECT(at->comm, dt_set_timeout(at->comm, at->rank ? 1000 : 20000), DT_OK);
    if (at->rank == 0) late_ms = 1500; /* longer than rank 1 waits for it, shorter than it then waits for rank 0 */
    EXPECT(at->comm, dt_alloc(at->comm, COUNT * 4, 0, &memory), DT_SYSTEM_ERROR);
    EXPECT_TEXT(at->comm, "failed on rank 1");
    CHECK(!memory, "no pointer without memory");
    EXPECT(at->comm, dt_set_timeout(at->comm, 20000), DT_OK);
    sums_where_it_lies(at);
    sums_where_it_lies(at);
}

static void no_room_for_a_file(rank_context *at) {
    struct rlimit before;
    void *memory;
    if (at->rank == 1) files_at_most(0, &before);
    EXPECT(at->comm, dt_alloc(at->comm, COUNT * 4, 0, &memory), DT_SYSTEM_ERROR);
    EXPECT_TEXT(at->comm, "failed on rank 1", at->rank == 1 ? "too many open files" : "a system call failed");
    if (at->rank == 1) setrlimit(RLIMIT_NOFILE, &before);
    sums_where_it_lies(at);
}

static void memory_that_cannot_be_sent(rank_context *at) {
    void *memory;
    double start = seconds_now();
    too_many_sent = at->rank == 0;
    EXPECT(at->comm, dt_alloc(at->comm, COUNT * 4, 0, &memory), DT_SYSTEM_ERROR);
    too_many_sent = false;
    EXPECT_TEXT(at->comm, "failed on rank 0", at->rank == 0 ? "cannot send the memory to rank 1: Too many references" : "a system call failed");
    CHECK(seconds_now() - start < 10, "it took %g s", seconds_now() - start);
    sums_where_it_lies(at);
}

static void one_rank_has_no_memory(rank_context *at) {
    int32_t poor = *(const int32_t *)at->argument;
    void *memory;
    dt_comm *part;
    double start = seconds_now();
    out_of_memory = at->rank == poor;
    EXPECT(at->comm, dt_alloc(at->comm, COUNT * 4, 0, &memory), DT_OUT_OF_MEMORY);
    out_of_memory = false;
    EXPECT_TEXT(at->comm, poor ? "failed on rank 1" : "failed on rank 0", at->rank == poor ? "no memory" : "out of memory");
    sums_where_it_lies(at);
    out_of_memory = at->rank == poor; /* to agree on the parts takes none */
    EXPECT(at->comm, dt_comm_split(at->comm, -1, 0, &part), DT_OK);
    out_of_memory = false;
    CHECK(seconds_now() - start < 10, "it took %g s", seconds_now() - start);
}

int main(int argc, char **argv) {
    int files = open_files(), maps = shared_mappings();
    if (begin_test(argc, argv, "memory_that_came_too_late_is_not_taken_for_the_next")) run_ranks((ranks_options){.world = 2}, memory_that_came_too_late);
    if (begin_test(argc, argv, "no_room_for_a_file_is_said_on_every_rank")) run_ranks((ranks_options){.world = 3}, no_room_for_a_file);
    if (begin_test(argc, argv, "memory_that_cannot_be_sent_is_not_waited_for")) run_ranks((ranks_options){.world = 3}, memory_that_cannot_be_sent);
    for (int32_t poor = 0; poor < 2; poor++)
        for (int threads = 0; threads < 2; threads++)
            if (begin_test(argc, argv, "one_rank_has_no_memory")) run_ranks((ranks_options){.world = 3, .threads = threads, .argument = &poor}, one_rank_has_no_memory);
    CHECK(open_files() == files, "%d files were open before, %d are now", files, open_files());
    CHECK(shared_mappings() == maps, "%d mappings before, %d now", maps, shared_mappings());
    return 0;
}
