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

/* Neither a rank that meets the others nor the one they meet: the group fails at once, the other group does not. */
static void no_room_for_a_group(rank_context *at) {
    int32_t poor = *(const int32_t *)at->argument, color = at->rank == 3;
    struct rlimit before;
    dt_comm *part;
    double start = seconds_now();
    for (int more = 0; more < 3; more++) {
        if (at->rank == poor) files_at_most(more, &before);
        EXPECT(at->comm, dt_comm_split(at->comm, color, 0, &part), color ? DT_OK : DT_SYSTEM_ERROR);
        if (at->rank == poor) setrlimit(RLIMIT_NOFILE, &before);
        CHECK((part != NULL) == color, "a part without its ranks");
        if (!color) EXPECT_TEXT(at->comm, poor ? "rank 1" : "rank 0", "Too many open files");
        EXPECT(NULL, dt_comm_destroy(part), DT_OK);
    }
    EXPECT(at->comm, dt_comm_split(at->comm, color, 0, &part), DT_OK);
    EXPECT(part, dt_barrier(part), DT_OK);
    EXPECT(NULL, dt_comm_destroy(part), DT_OK);
    CHECK(seconds_now() - start < 10, "it took %g s", seconds_now() - start);
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

static void ended_well(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with %#x", status);
}

/* Room for a socket and for the watcher's own file: it can neither open another process nor read of it. */
static void nobody_is_called_dead_for_want_of_files(void) {
    char address[64], error[1024];
    dt_comm *comm;
    fresh_address(address);
    pid_t child = fork();
    dt_options options = world_options(child == 0, 2, address, 20000);
    struct rlimit before;
    if (child == 0) files_at_most(2, &before);
    dt_status status = dt_comm_init(&options, &comm, error, sizeof error);
    CHECK(status == DT_OK, "%s", error);
    rest_ms(700);
    EXPECT(comm, dt_barrier(comm), DT_OK);
    EXPECT(comm, dt_comm_destroy(comm), DT_OK);
    if (child == 0) exit(0);
    ended_well(child);
}

/* Who spins and who yields differ in how they wait, not in how they cut a sum. */
static void sums_of_all_sizes(rank_context *at) {
    static float data[1 << 16];
    for (int64_t count = 1; count <= 1 << 16; count *= 2) {
        for (int64_t i = 0; i < count; i++) data[i] = (float)(i % 100 + at->rank);
        EXPECT(at->comm, dt_all_reduce(at->comm, data, data, count, DT_F32, DT_SUM), DT_OK);
        float all = (float)(at->world * (at->world - 1) / 2);
        for (int64_t i = 0; i < count; i++)
            CHECK(data[i] == (float)(at->world * (i % 100)) + all, "%lld elements, element %lld: %g", (long long)count, (long long)i, data[i]);
    }
}

static void on_one_core(ranks_options options, void (*body)(rank_context *)) {
    cpu_set_t before, one;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0, "no affinity");
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0, "no affinity");
    run_ranks(options, body);
    CHECK(sched_setaffinity(0, sizeof before, &before) == 0, "no affinity");
}

static void a_limit_of_file_sizes_is_an_error(void) {
    char error[1024];
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit;
        getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = 1 << 16;
        setrlimit(RLIMIT_FSIZE, &limit);
        dt_options options = world_options(0, 1, NULL, 1000);
        dt_comm *comm;
        dt_status status = dt_comm_init(&options, &comm, error, sizeof error);
        CHECK(status == DT_OUT_OF_MEMORY && strstr(error, "File too large"), "status %d: %s", status, error);
        _exit(0);
    }
    ended_well(child);
}

/* Its memory did not come along: nothing but an error may come of it. */
static void a_forked_child_has_no_communicators(void) {
    char error[1024];
    dt_comm *comm, *own;
    dt_options options = world_options(0, 1, NULL, 1000);
    EXPECT(NULL, dt_comm_init(&options, &comm, error, sizeof error), DT_OK);
    pid_t child = fork();
    if (child == 0) {
        EXPECT(NULL, dt_barrier(comm), DT_INVALID_ARGUMENT);
        EXPECT(NULL, dt_status_now(comm), DT_INVALID_ARGUMENT);
        EXPECT(NULL, dt_comm_destroy(comm), DT_INVALID_ARGUMENT);
        EXPECT(NULL, dt_comm_init(&options, &own, error, sizeof error), DT_OK);
        EXPECT(own, dt_barrier(own), DT_OK);
        EXPECT(own, dt_comm_destroy(own), DT_OK);
        _exit(0);
    }
    ended_well(child);
    EXPECT(comm, dt_barrier(comm), DT_OK);
    EXPECT(comm, dt_comm_destroy(comm), DT_OK);
}

int main(int argc, char **argv) {
    int files = open_files(), maps = shared_mappings();
    if (begin_test(argc, argv, "memory_that_came_too_late_is_not_taken_for_the_next")) run_ranks((ranks_options){.world = 2}, memory_that_came_too_late);
    if (begin_test(argc, argv, "no_room_for_a_file_is_said_on_every_rank")) run_ranks((ranks_options){.world = 3}, no_room_for_a_file);
    for (int32_t poor = 0; poor < 2; poor++)
        if (begin_test(argc, argv, "no_room_for_a_group_is_said_to_all_of_it")) run_ranks((ranks_options){.world = 4, .argument = &poor}, no_room_for_a_group);
    if (begin_test(argc, argv, "memory_that_cannot_be_sent_is_not_waited_for")) run_ranks((ranks_options){.world = 3}, memory_that_cannot_be_sent);
    if (begin_test(argc, argv, "nobody_is_called_dead_for_want_of_files")) nobody_is_called_dead_for_want_of_files();
    if (begin_test(argc, argv, "who_spins_and_who_yields_agree")) on_one_core((ranks_options){.world = 3, .last_flags = DT_ALWAYS_SPIN}, sums_of_all_sizes);
    if (begin_test(argc, argv, "a_limit_of_file_sizes_is_an_error")) a_limit_of_file_sizes_is_an_error();
    if (begin_test(argc, argv, "a_forked_child_has_no_communicators")) a_forked_child_has_no_communicators();
    for (int32_t poor = 0; poor < 2; poor++)
        for (int threads = 0; threads < 2; threads++)
            if (begin_test(argc, argv, "one_rank_has_no_memory")) run_ranks((ranks_options){.world = 3, .threads = threads, .argument = &poor}, one_rank_has_no_memory);
    CHECK(open_files() == files, "%d files were open before, %d are now", files, open_files());
    CHECK(shared_mappings() == maps, "%d mappings before, %d now", maps, shared_mappings());
    return 0;
}
