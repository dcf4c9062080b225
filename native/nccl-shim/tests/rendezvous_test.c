/* Meeting: strangers, garbage, wrong secrets, absent ranks, paths; and bad arguments everywhere. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ranks.h"
#include "shm/door.h"
#include "shm/socket.h"

static char error[1024];

typedef struct joining {
    dt_options options;
    dt_status wanted;
    const char *text; /* part of the error's text */
    dt_comm *comm;
    char error[1024];
} joining;

static void *join_world(void *argument) {
    joining *one = argument;
    dt_status status = dt_comm_init(&one->options, &one->comm, one->error, sizeof one->error);
    CHECK(status == one->wanted, "status %d, wanted %d: %s", status, one->wanted, one->error);
    CHECK(!one->text || strstr(one->error, one->text), "\"%s\" is not in \"%s\"", one->text, one->error);
    return NULL;
}

/* All at once, then all end. */
static void join_all(joining *all, int count) {
    pthread_t threads[8];
    for (int i = 0; i < count; i++) pthread_create(&threads[i], NULL, join_world, &all[i]);
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < count; i++) EXPECT(NULL, dt_comm_destroy(all[i].comm), DT_OK);
}

static joining joins(int32_t rank, int32_t world, const char *address, int64_t timeout_ms) {
    return (joining){.options = world_options(rank, world, address, timeout_ms)};
}

static void absent_ranks_are_named(void) {
    char address[64];
    fresh_address(address);
    joining all[2] = {joins(0, 4, address, 300), joins(2, 4, address, 300)};
    all[0].wanted = all[1].wanted = DT_TIMEOUT;
    all[0].text = "missing: rank 1, 3";
    all[1].text = "rank 2 waited 300 ms";
    join_all(all, 2);
}

static void the_wrong_secret_is_refused(void) {
    char address[64];
    fresh_address(address);
    joining all[3] = {joins(0, 2, address, 20000), joins(1, 2, address, 20000), joins(1, 2, address, 20000)};
    all[1].options.secret = "another secret....";
    all[1].wanted = DT_REFUSED;
    all[1].text = "another job";
    pthread_t host, right;
    pthread_create(&host, NULL, join_world, &all[0]);
    join_world(&all[1]);
    pthread_create(&right, NULL, join_world, &all[2]);
    pthread_join(host, NULL);
    pthread_join(right, NULL);
    EXPECT(NULL, dt_comm_destroy(all[0].comm), DT_OK);
    EXPECT(NULL, dt_comm_destroy(all[2].comm), DT_OK);
}

static void another_world_or_a_second_rank_is_refused(void) {
    char address[64];
    fresh_address(address);
    joining host = joins(0, 3, address, 20000), odd = joins(1, 5, address, 20000), first = joins(1, 3, address, 20000),
            second = joins(1, 3, address, 20000), last = joins(2, 3, address, 20000);
    pthread_t threads[4];
    odd.wanted = DT_REFUSED;
    odd.text = "rank 1 of 5, rank 0 was started with a world of 3";
    pthread_create(&threads[0], NULL, join_world, &host);
    join_world(&odd);
    pthread_create(&threads[1], NULL, join_world, &first);
    usleep(300000);
    second.wanted = DT_REFUSED;
    second.text = "there is a rank 1 already";
    join_world(&second);
    pthread_create(&threads[2], NULL, join_world, &last);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    EXPECT(NULL, dt_comm_destroy(host.comm), DT_OK);
    EXPECT(NULL, dt_comm_destroy(first.comm), DT_OK);
    EXPECT(NULL, dt_comm_destroy(last.comm), DT_OK);
}

/* Garbage, half a message, silence and 1000 connections do not keep a world from meeting. */
static void strangers_do_no_harm(void) {
    char address[64], garbage[200];
    int silent[300], count = 0;
    fresh_address(address);
    memset(garbage, 0x42, sizeof garbage);
    joining all[2] = {joins(0, 2, address, 20000), joins(1, 2, address, 20000)};
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, join_world, &all[0]);
    for (int i = 0; i < 1000; i++) {
        int link = -1;
        for (int turn = 0; link < 0 && turn < 5000; turn++) {
            link = socket_connect(address);
            if (link < 0) usleep(1000);
        }
        CHECK(link >= 0, "connection %d", i);
        if (i % 3 == 0) socket_send(link, garbage, i % 2 ? sizeof garbage : 10, -1);
        if (i % 3 == 1 && count < 300)
            silent[count++] = link;
        else
            close(link);
    }
    pthread_create(&threads[1], NULL, join_world, &all[1]);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    while (count) close(silent[--count]);
    for (int i = 0; i < 2; i++) EXPECT(NULL, dt_comm_destroy(all[i].comm), DT_OK);
}

/* What listens is not rank 0, or sends a file that could shrink. */
static void *false_host(void *argument) {
    int listener = *(int *)argument, link = -1;
    char words[2000] = "who are you?";
    while ((link = accept(listener, NULL, NULL)) < 0) usleep(1000);
    usleep(20000);
    socket_send(link, words, 64, -1);
    usleep(100000);
    close(link);
    return NULL;
}

static void a_false_host_is_not_believed(void) {
    char address[64];
    pthread_t thread;
    fresh_address(address);
    int listener = socket_listen(address);
    joining one = joins(1, 2, address, 400);
    one.wanted = DT_TIMEOUT;
    pthread_create(&thread, NULL, false_host, &listener);
    join_world(&one);
    pthread_join(thread, NULL);
    close(listener);
}

/* Rank 1 of a world of two as far as the welcome, which it does not take. */
static void *gives_up_at_the_door(void *argument) {
    const char *address = argument;
    hello said = {.magic = HELLO_MAGIC, .version = DT_ABI_VERSION, .rank = 1, .world_size = 2, .secret_bytes = 17, .secret = "a secret of tests"};
    int link = -1;
    for (int turn = 0; link < 0 && turn < 5000; turn++)
        if ((link = socket_connect(address)) < 0) usleep(1000);
    struct pollfd welcomed = {.fd = link, .events = POLLIN};
    CHECK(socket_send(link, &said, sizeof said, -1) && poll(&welcomed, 1, 20000) == 1, "no welcome came");
    close(link);
    return NULL;
}

static void who_gives_up_behind_the_door_is_not_waited_for(void) {
    char address[64];
    int maps = shared_mappings();
    pthread_t thread;
    fresh_address(address);
    joining host = joins(0, 2, address, 20000);
    host.wanted = DT_PEER_LOST;
    host.text = "rank 1";
    double start = seconds_now();
    pthread_create(&thread, NULL, gives_up_at_the_door, address);
    join_world(&host);
    pthread_join(thread, NULL);
    CHECK(seconds_now() - start < 10, "it took %g s", seconds_now() - start);
    CHECK(shared_mappings() == maps, "%d mappings before, %d now", maps, shared_mappings());
}

static void files_at_most(int more) {
    struct rlimit limit;
    int next = dup(0);
    CHECK(next >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0, "no limit of files");
    close(next);
    limit.rlim_cur = (rlim_t)(next + more);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

/* Rank 0 can listen, but not take anybody in. */
static void a_host_without_room_for_guests_says_so(void) {
    char address[64];
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    fresh_address(address);
    joining host = joins(0, 2, address, 700), guest = joins(1, 2, address, 1500);
    pthread_t thread;
    host.wanted = guest.wanted = DT_TIMEOUT;
    host.text = "Too many open files";
    files_at_most(2); /* the listener and the guest's socket */
    pthread_create(&thread, NULL, join_world, &host);
    double busy = (double)clock() / CLOCKS_PER_SEC;
    join_world(&guest);
    pthread_join(thread, NULL);
    busy = (double)clock() / CLOCKS_PER_SEC - busy;
    setrlimit(RLIMIT_NOFILE, &before);
    CHECK(busy < 0.35, "%g s of 0.7 were spent on asking again", busy);
}

static void ended_well(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with %#x", status);
}

/* A socket it may still open, the memory that comes over it not. */
static void a_rank_without_room_for_the_memory_tells_the_others(void) {
    char address[64], end;
    int until[2];
    fresh_address(address);
    fflush(NULL);
    CHECK(pipe(until) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        close(until[1]);
        joining guest = joins(1, 2, address, 20000);
        guest.wanted = DT_SYSTEM_ERROR;
        guest.text = "too many open files";
        files_at_most(1);
        join_world(&guest);
        exit(read(until[0], &end, 1) ? 1 : 0); /* a process that is gone would be called dead */
    }
    joining host = joins(0, 2, address, 20000);
    host.wanted = DT_PEER_LOST;
    host.text = "too many open files";
    double start = seconds_now();
    join_world(&host);
    close(until[0]);
    close(until[1]);
    CHECK(strstr(host.error, "rank 1 (pid "), "not named: %s", host.error);
    CHECK(seconds_now() - start < 10, "it took %g s", seconds_now() - start);
    ended_well(child);
}

static void paths_work_in_private_directories_alone(void) {
    char directory[] = "/tmp/disttrain-test-XXXXXX", path[80];
    CHECK(mkdtemp(directory), "mkdtemp");
    snprintf(path, sizeof path, "%s/meet", directory);
    int stale = socket_listen(path); /* as a killed process leaves it */
    CHECK(stale >= 0, "listen at %s", path);
    close(stale);
    joining all[2] = {joins(0, 2, path, 20000), joins(1, 2, path, 20000)};
    join_all(all, 2);
    CHECK(access(path, F_OK) != 0, "%s was left behind", path);
    chmod(directory, 0777);
    joining open = joins(0, 2, path, 300);
    open.wanted = DT_SYSTEM_ERROR;
    open.text = "not this user's alone";
    join_world(&open);
    rmdir(directory);
}

static void a_taken_address_is_an_error(void) {
    char address[64];
    fresh_address(address);
    int listener = socket_listen(address);
    joining one = joins(0, 2, address, 200);
    one.wanted = DT_SYSTEM_ERROR;
    one.text = "cannot listen at @";
    join_world(&one);
    close(listener);
}

#define REFUSES_OPTIONS(change, text)                                                                                  \
    do {                                                                                                               \
        dt_options o = world_options(0, 2, "@nowhere", 100);                                                           \
        dt_comm *comm = (dt_comm *)&o;                                                                                 \
        change;                                                                                                        \
        dt_status status = dt_comm_init(&o, &comm, error, sizeof error);                                               \
        CHECK(status == DT_INVALID_ARGUMENT && !comm && strstr(error, text), "%s: status %d: %s", #change, status, error); \
    } while (0)

static void bad_options_are_refused(void) {
    char longer[200];
    memset(longer, 'a', sizeof longer);
    longer[199] = 0;
    REFUSES_OPTIONS(o.struct_bytes = 8, "struct_bytes");
    REFUSES_OPTIONS(o.rank = 2, "rank 2 of a world of 2");
    REFUSES_OPTIONS(o.rank = -1, "rank -1");
    REFUSES_OPTIONS(o.world_size = 0, "world of 0");
    REFUSES_OPTIONS(o.world_size = 129, "up to 128 ranks");
    REFUSES_OPTIONS(o.timeout_ms = 0, "timeout_ms");
    REFUSES_OPTIONS(o.flags = 1u << 30, "unknown flags");
    REFUSES_OPTIONS(o.segment_bytes = 5000, "segment_bytes");
    REFUSES_OPTIONS(o.address = NULL, "address");
    REFUSES_OPTIONS(o.address = "nowhere", "address");
    REFUSES_OPTIONS(o.address = longer, "address");
    REFUSES_OPTIONS(o.secret = NULL, "secret");
    REFUSES_OPTIONS(o.secret_bytes = 65, "secret");
    REFUSES_OPTIONS(o.transport = 9, "no transport 9");
    EXPECT(NULL, dt_comm_init(NULL, NULL, NULL, 0), DT_INVALID_ARGUMENT);
    dt_options o = world_options(0, 1, NULL, 100);
    o.transport = DT_TRANSPORT_NCCL;
    dt_comm *comm;
    dt_status status = dt_comm_init(&o, &comm, error, sizeof error);
    CHECK(status == DT_UNSUPPORTED && strstr(error, "nccl"), "status %d: %s", status, error);
}

#define REFUSES(call, wanted, text)      \
    do {                                 \
        EXPECT(at->comm, call, wanted);  \
        EXPECT_TEXT(at->comm, text);     \
    } while (0)

static void refuses_calls(rank_context *at) {
    float a[16] = {0}, b[16] = {0};
    void *memory;
    int64_t count;
    dt_description small = {.struct_bytes = 3};
    dt_transfer odd = {.verb = 99};
    REFUSES(dt_all_reduce(at->comm, NULL, b, 4, DT_F32, DT_SUM), DT_INVALID_ARGUMENT, "all_reduce: send is null");
    REFUSES(dt_all_reduce(at->comm, a, NULL, 4, DT_F32, DT_SUM), DT_INVALID_ARGUMENT, "recv is null");
    REFUSES(dt_all_reduce(at->comm, a, b, -1, DT_F32, DT_SUM), DT_INVALID_ARGUMENT, "-1 elements");
    REFUSES(dt_all_reduce(at->comm, a, b, INT64_MAX, DT_F32, DT_SUM), DT_INVALID_ARGUMENT, "9223372036854775807 elements");
    REFUSES(dt_all_reduce(at->comm, a, b, 4, 6, DT_SUM), DT_INVALID_ARGUMENT, "no data type 6");
    REFUSES(dt_all_reduce(at->comm, a, b, 4, 100, DT_SUM), DT_INVALID_ARGUMENT, "no data type 100");
    REFUSES(dt_all_reduce(at->comm, a, b, 4, DT_F32, 5), DT_INVALID_ARGUMENT, "no operator 5");
    REFUSES(dt_all_reduce(at->comm, a, a + 1, 4, DT_F32, DT_SUM), DT_INVALID_ARGUMENT, "overlap");
    REFUSES(dt_reduce_scatter(at->comm, a, a + 1 + at->rank * 4, 4, DT_F32, DT_SUM), DT_INVALID_ARGUMENT, "overlap");
    REFUSES(dt_broadcast(at->comm, a, b, 4, DT_F32, 2), DT_INVALID_ARGUMENT, "root 2 of 2 ranks");
    REFUSES(dt_reduce(at->comm, a, b, 4, DT_F32, DT_SUM, -1), DT_INVALID_ARGUMENT, "root -1");
    REFUSES(dt_send(at->comm, a, 4, DT_F32, at->rank), DT_INVALID_ARGUMENT, "itself");
    REFUSES(dt_send(at->comm, a, 4, DT_F32, 7), DT_INVALID_ARGUMENT, "peer 7");
    REFUSES(dt_exchange(at->comm, &odd, 1), DT_INVALID_ARGUMENT, "verb 99");
    REFUSES(dt_exchange(at->comm, NULL, 3), DT_INVALID_ARGUMENT, "3 transfers");
    REFUSES(dt_alloc(at->comm, 0, 0, &memory), DT_INVALID_ARGUMENT, "0 bytes");
    REFUSES(dt_alloc(at->comm, 10, 64, &memory), DT_INVALID_ARGUMENT, "flags 0x40");
    REFUSES(dt_free(at->comm, a), DT_INVALID_ARGUMENT, "is not memory from dt_alloc");
    REFUSES(dt_set_timeout(at->comm, -5), DT_INVALID_ARGUMENT, "-5");
    REFUSES(dt_comm_describe(at->comm, &small), DT_INVALID_ARGUMENT, "struct_bytes");
    REFUSES(dt_flight_records(at->comm, 2, NULL, 0, &count), DT_INVALID_ARGUMENT, "rank 2 of 2");
    REFUSES(dt_group_end(at->comm), DT_INVALID_USAGE, "without dt_group_start");
    EXPECT(at->comm, dt_group_start(at->comm), DT_OK);
    REFUSES(dt_group_start(at->comm), DT_INVALID_USAGE, "inside a group");
    REFUSES(dt_barrier(at->comm), DT_INVALID_USAGE, "barrier between dt_group_start");
    EXPECT(at->comm, dt_group_end(at->comm), DT_OK);
    EXPECT(NULL, dt_barrier(NULL), DT_INVALID_ARGUMENT);
    EXPECT(NULL, dt_abort(NULL, NULL), DT_INVALID_ARGUMENT);
    EXPECT(NULL, dt_comm_destroy(NULL), DT_OK);
    EXPECT(at->comm, dt_all_reduce(at->comm, NULL, NULL, 0, DT_F32, DT_SUM), DT_OK); /* and the communicator lives on */
}

static void alloc_and_free(rank_context *at) {
    void *memory[40];
    for (int i = 0; i < 40; i++) EXPECT(at->comm, dt_alloc(at->comm, 1 + i * 5000, i % 2 ? DT_HUGE_PAGES : 0, &memory[i]), DT_OK);
    for (int i = 0; i < 40; i++) {
        char *bytes = memory[i];
        for (int b = 0; b < 1 + i * 5000; b += 100) CHECK(bytes[b] == 0, "memory %d is not zero", i);
        bytes[i * 5000] = 1;
    }
    for (int i = 0; i < 40; i += 2) EXPECT(at->comm, dt_free(at->comm, memory[i]), DT_OK);
    for (int i = 0; i < 40; i += 4) EXPECT(at->comm, dt_alloc(at->comm, 1 << 20, 0, &memory[i]), DT_OK);
    for (int i = 1; i < 40; i += 4) {
        int32_t *numbers = memory[i];
        numbers[0] = at->rank;
        EXPECT(at->comm, dt_all_reduce(at->comm, numbers, numbers, 1, DT_I32, DT_SUM), DT_OK);
        CHECK(numbers[0] == at->world * (at->world - 1) / 2, "sum in memory %d is %d", i, numbers[0]);
    }
    void *much = &much;
    EXPECT(at->comm, dt_alloc(at->comm, 1l << 44, 0, &much), DT_OUT_OF_MEMORY);
    CHECK(!much, "no pointer without memory");
    EXPECT(at->comm, dt_barrier(at->comm), DT_OK);
}

/* What lies in the memory that ranks share is not trusted: numbers that fit nothing are an error, not a crash. */
static void refuses_what_fits_nothing(rank_context *at) {
    const shm_chunk *odd = at->argument;
    shm *self = (shm *)at->comm;
    static char data[1 << 19];
    void *memory;
    EXPECT(at->comm, dt_alloc(at->comm, 1 << 16, 0, &memory), DT_OK);
    if (at->rank == 0) {
        shm_channel *to = (shm_channel *)((char *)self->mapping->base + self->layout.channels_at) + 1;
        to->chunk[0] = *odd;
        atomic_store(&to->written, 1);
        while (dt_status_now(at->comm) == DT_OK) usleep(1000);
    } else {
        EXPECT(at->comm, dt_recv(at->comm, data, sizeof data / 8, DT_I64, 0), DT_MISMATCH);
    }
    EXPECT(at->comm, dt_barrier(at->comm), DT_MISMATCH);
}

static void what_fits_nothing_is_refused(void) {
    enum { BYTES = 1 << 19 };
    const uint64_t part = 1ull << 48;
    const shm_chunk odd[] = {
        {.message = 1, .message_bytes = BYTES, .bytes = (uint64_t)-64, .dtype = DT_I64},
        {.message = 1, .message_bytes = BYTES, .bytes = SHM_CHUNK_BYTES + 64, .dtype = DT_I64},
        {.message = 1, .message_bytes = BYTES, .bytes = 12, .dtype = DT_I64},
        {.message = 1, .message_bytes = BYTES, .bytes = BYTES, .dtype = DT_I64, .address = part},
        {.message = 1, .message_bytes = BYTES, .bytes = 64, .dtype = DT_I64, .address = part + (1 << 16)},
        {.message = 1, .message_bytes = BYTES, .bytes = 64, .dtype = DT_I64, .address = 2 * part},
        {.message = 1, .message_bytes = BYTES, .bytes = 64, .dtype = DT_I64, .address = 60000 * part},
        {.message = 1, .message_bytes = BYTES, .bytes = 64, .dtype = DT_I64, .address = 5},
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) run_ranks((ranks_options){.world = 2, .argument = &odd[i]}, refuses_what_fits_nothing);
}

int main(int argc, char **argv) {
    int files = open_files();
    if (begin_test(argc, argv, "absent_ranks_are_named")) absent_ranks_are_named();
    if (begin_test(argc, argv, "the_wrong_secret_is_refused")) the_wrong_secret_is_refused();
    if (begin_test(argc, argv, "another_world_or_a_second_rank_is_refused")) another_world_or_a_second_rank_is_refused();
    if (begin_test(argc, argv, "strangers_do_no_harm")) strangers_do_no_harm();
    if (begin_test(argc, argv, "a_false_host_is_not_believed")) a_false_host_is_not_believed();
    if (begin_test(argc, argv, "who_gives_up_behind_the_door_is_not_waited_for")) who_gives_up_behind_the_door_is_not_waited_for();
    if (begin_test(argc, argv, "a_rank_without_room_for_the_memory_tells_the_others")) a_rank_without_room_for_the_memory_tells_the_others();
    if (begin_test(argc, argv, "a_host_without_room_for_guests_says_so")) a_host_without_room_for_guests_says_so();
    if (begin_test(argc, argv, "paths_work_in_private_directories_alone")) paths_work_in_private_directories_alone();
    if (begin_test(argc, argv, "a_taken_address_is_an_error")) a_taken_address_is_an_error();
    if (begin_test(argc, argv, "bad_options_are_refused")) bad_options_are_refused();
    if (begin_test(argc, argv, "bad_calls_are_refused")) run_ranks((ranks_options){.world = 2}, refuses_calls);
    if (begin_test(argc, argv, "what_fits_nothing_is_refused")) what_fits_nothing_is_refused();
    if (begin_test(argc, argv, "alloc_and_free")) run_ranks((ranks_options){.world = 3}, alloc_and_free);
    if (begin_test(argc, argv, "alloc_and_free_threads")) run_ranks((ranks_options){.world = 3, .threads = true}, alloc_and_free);
    CHECK(open_files() == files, "%d files were open before, %d are now", files, open_files());
    return 0;
}
