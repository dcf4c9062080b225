/* Ranks for tests: a body runs as N processes or as N threads of this one; each gets its communicator. */
#ifndef DT_TESTS_RANKS_H
#define DT_TESTS_RANKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "disttrain_shim.h"

typedef struct rank_context {
    dt_comm *comm;
    int32_t rank, world;
    void *shared; /* memory that all ranks see, zeroed: RANKS_SHARED_BYTES */
    const void *argument;
} rank_context;

enum { RANKS_SHARED_BYTES = 1 << 16 };

typedef struct ranks_options {
    int32_t world;
    bool threads;
    int64_t timeout_ms;    /* 0: 30 s */
    int64_t segment_bytes; /* 0: the default */
    uint32_t flags, last_flags; /* last_flags: more of them, on the last rank alone */
    const void *argument;
    int32_t killed; /* a rank that may die by a signal (plus 1), 0: none */
} ranks_options;

/* Runs body on all ranks; the test fails if a rank fails, crashes or does not end within a minute. */
void run_ranks(ranks_options options, void (*body)(rank_context *));

/* A check of a rank's; prints and ends the rank (process or test) if it does not hold. */
#define CHECK(condition, ...) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__))
__attribute__((format(printf, 4, 5), noreturn)) void check_failed(const char *file, int line, const char *condition, const char *format, ...);

/* The status must be that; prints the communicator's text if not. */
#define EXPECT(comm, call, wanted) expect_status(__FILE__, __LINE__, #call, comm, call, wanted)
void expect_status(const char *file, int line, const char *text, dt_comm *comm, dt_status status, dt_status wanted);

/* dt_last_error's text contains every one of these (up to a NULL). */
#define EXPECT_TEXT(comm, ...) expect_text(__FILE__, __LINE__, comm, (const char *const[]){__VA_ARGS__, NULL})
void expect_text(const char *file, int line, dt_comm *comm, const char *const *parts);

/* Options of a world of its own. The address is new with every call of fresh_address. */
dt_options world_options(int32_t rank, int32_t world, const char *address, int64_t timeout_ms);
void fresh_address(char address[64]);

double seconds_now(void);
int open_files(void);
/* Mappings of memory that communicators share, in this process. */
int shared_mappings(void);
/* Names a test on stdout, runs it if argv[1] is absent or part of the name. */
bool begin_test(int argc, char **argv, const char *name);

#endif
