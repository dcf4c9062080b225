/* Stand-ins of libcuda.so.1 and libnccl.so.2 for tests without a GPU: "device" memory is ordinary memory, ranks are threads of one process, and
 * what is enqueued is done when all ranks have enqueued it. Every call is written down; contexts, sizes, ids and handles are checked. */
#ifndef DT_TESTS_FAKE_H
#define DT_TESTS_FAKE_H

#include <stdbool.h>
#include <stddef.h>

#define FAKE_API __attribute__((visibility("default")))

/* ---- libcuda.so.1 ---- */
enum { FAKE_DEVICES = 16 };
/* The calls so far, a line each; fake_forget empties the list. */
FAKE_API void fake_calls(char *to, size_t bytes);
FAKE_API int fake_count(const char *part); /* how many lines contain it */
FAKE_API void fake_forget(void);
/* Allocations, streams, retained contexts and communicators that are left. */
FAKE_API int fake_left(void);
/* 0: the default stream. */
FAKE_API int fake_stream_number(void *stream);
/* For libnccl.so.2 alone: */
FAKE_API void fake_lock(void);
FAKE_API void fake_unlock(void);
__attribute__((format(printf, 1, 2))) FAKE_API void fake_log(const char *format, ...);
/* The default stream is the current context's. */
FAKE_API void *fake_stream_of(void *stream);
FAKE_API void fake_stream_add(void *stream, int operations);
FAKE_API bool fake_has_context(void);
FAKE_API void fake_add_left(int count);
__attribute__((format(printf, 1, 2), noreturn)) FAKE_API void fake_broken(const char *format, ...);

/* ---- libnccl.so.2 ---- */
/* Every call on a communicator is first found in progress so many times. */
FAKE_API void fake_nccl_in_progress(int times);
/* What is enqueued from now on is never done. */
FAKE_API void fake_nccl_hang(bool hang);
/* All communicators report this. */
FAKE_API void fake_nccl_error(int result);

#endif
