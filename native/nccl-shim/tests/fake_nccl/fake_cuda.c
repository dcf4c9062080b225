#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

enum { SUCCESS = 0, INVALID_VALUE = 1, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, NOT_READY = 600, LOG_BYTES = 1 << 20, DEFERRED_MAX = 64, STACK_MAX = 32 };

typedef struct stream {
    int pending, number;
    void *deferred[DEFERRED_MAX]; /* freed when nothing is pending */
    int deferred_count;
} stream;

typedef struct context {
    int device, count;
} context;

static pthread_mutex_t s_lock = PTHREAD_MUTEX_INITIALIZER;
static char s_log[LOG_BYTES];
static size_t s_used;
static int s_left, s_streams;
static context s_contexts[FAKE_DEVICES], s_own[FAKE_DEVICES]; /* primary, and created by cuCtxCreate */
static _Thread_local context *s_stack[STACK_MAX];
static _Thread_local int s_depth;
static stream s_defaults[FAKE_DEVICES];

void fake_lock(void) { pthread_mutex_lock(&s_lock); }
void fake_unlock(void) { pthread_mutex_unlock(&s_lock); }
void fake_add_left(int count) { s_left += count; }

void fake_broken(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "stand-in: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    _Exit(1);
}

void fake_log(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    s_used += (size_t)vsnprintf(s_log + s_used, LOG_BYTES - s_used, format, arguments);
    va_end(arguments);
    if (s_used > LOG_BYTES - 1000) s_used = 0; /* old ones are forgotten */
    s_used += (size_t)snprintf(s_log + s_used, LOG_BYTES - s_used, "\n");
}

void fake_calls(char *to, size_t bytes) {
    fake_lock();
    s_log[s_used] = 0;
    snprintf(to, bytes, "%s", s_log);
    fake_unlock();
}

void fake_forget(void) {
    fake_lock();
    s_used = 0;
    fake_unlock();
}

int fake_count(const char *part) {
    int count = 0;
    fake_lock();
    s_log[s_used] = 0;
    for (const char *at = s_log; (at = strstr(at, part)); at = strchr(at, '\n')) count++;
    fake_unlock();
    return count;
}

int fake_left(void) {
    fake_lock();
    int left = s_left;
    fake_unlock();
    return left;
}

bool fake_has_context(void) { return s_depth && s_stack[s_depth - 1]; }
static stream *of(void *handle) { return handle ? handle : &s_defaults[s_stack[s_depth - 1]->device]; }
void *fake_stream_of(void *handle) { return of(handle); }
int fake_stream_number(void *handle) { return handle ? ((stream *)handle)->number : 0; }

void fake_stream_add(void *handle, int operations) {
    stream *it = of(handle);
    it->pending += operations;
    if (it->pending < 0) fake_broken("a stream with %d operations", it->pending);
    for (; it->pending == 0 && it->deferred_count; s_left--) free(it->deferred[--it->deferred_count]);
}

#define NEEDS_CONTEXT                                  \
    do {                                               \
        if (!fake_has_context()) return INVALID_CONTEXT; \
    } while (0)

FAKE_API int cuInit(unsigned int flags) { return flags ? INVALID_VALUE : SUCCESS; }
FAKE_API int cuDeviceGetCount(int *count) {
    *count = FAKE_DEVICES;
    return SUCCESS;
}
FAKE_API int cuDeviceGet(int *device, int ordinal) {
    if (ordinal < 0 || ordinal >= FAKE_DEVICES) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}
FAKE_API int cuGetErrorName(int result, const char **name) {
    *name = result == INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT" : "CUDA_ERROR_OF_THE_STAND_IN";
    return SUCCESS;
}

FAKE_API int cuDevicePrimaryCtxSetFlags_v2(int device, unsigned int flags) {
    fake_lock();
    fake_log("cuDevicePrimaryCtxSetFlags_v2(device %d, %u)", device, flags);
    fake_unlock();
    return SUCCESS;
}
FAKE_API int cuDevicePrimaryCtxRetain(context **to, int device) {
    if (device < 0 || device >= FAKE_DEVICES) return INVALID_DEVICE;
    fake_lock();
    fake_log("cuDevicePrimaryCtxRetain(device %d)", device);
    s_contexts[device].device = device;
    s_contexts[device].count++;
    s_left++;
    *to = &s_contexts[device];
    fake_unlock();
    return SUCCESS;
}
FAKE_API int cuDevicePrimaryCtxRelease_v2(int device) {
    fake_lock();
    fake_log("cuDevicePrimaryCtxRelease_v2(device %d)", device);
    if (--s_contexts[device].count < 0) fake_broken("the primary context of device %d is released once too often", device);
    s_left--;
    fake_unlock();
    return SUCCESS;
}
FAKE_API int cuCtxCreate_v2(context **to, unsigned int flags, int device) {
    fake_lock();
    fake_log("cuCtxCreate_v2(device %d, %u)", device, flags);
    fake_unlock();
    *to = &s_own[device];
    return SUCCESS;
}
FAKE_API int cuCtxDestroy_v2(context *it) {
    fake_lock();
    fake_log("cuCtxDestroy_v2(%s)", it >= s_own && it < s_own + FAKE_DEVICES ? "own" : "another");
    fake_unlock();
    return SUCCESS;
}
FAKE_API int cuCtxPushCurrent_v2(context *it) {
    if (s_depth == STACK_MAX) fake_broken("contexts are pushed and not popped");
    s_stack[s_depth++] = it;
    return SUCCESS;
}
FAKE_API int cuCtxPopCurrent_v2(context **it) {
    if (!s_depth) fake_broken("a context popped that nobody pushed");
    *it = s_stack[--s_depth];
    return SUCCESS;
}
FAKE_API int cuCtxSetCurrent(context *it) {
    if (!s_depth) s_depth = 1;
    s_stack[s_depth - 1] = it;
    if (!it && s_depth == 1) s_depth = 0;
    return SUCCESS;
}
FAKE_API int cuCtxGetCurrent(context **it) {
    *it = s_depth ? s_stack[s_depth - 1] : NULL;
    return SUCCESS;
}

static void *take(size_t bytes) {
    void *memory = malloc(bytes);
    if (!memory) fake_broken("no memory");
    memset(memory, 0xCD, bytes);
    fake_lock();
    s_left++;
    fake_unlock();
    return memory;
}
FAKE_API int cuMemAlloc_v2(unsigned long long *to, size_t bytes) {
    NEEDS_CONTEXT;
    *to = (uintptr_t)take(bytes);
    return SUCCESS;
}
FAKE_API int cuMemFree_v2(unsigned long long memory) {
    NEEDS_CONTEXT;
    free((void *)(uintptr_t)memory);
    fake_lock();
    s_left--;
    fake_unlock();
    return SUCCESS;
}
FAKE_API int cuMemAllocAsync(unsigned long long *to, size_t bytes, void *on) {
    NEEDS_CONTEXT;
    (void)on;
    *to = (uintptr_t)take(bytes);
    return SUCCESS;
}
FAKE_API int cuMemFreeAsync(unsigned long long memory, void *on) {
    NEEDS_CONTEXT;
    fake_lock();
    stream *it = of(on);
    if (it->deferred_count == DEFERRED_MAX) fake_broken("too many frees are deferred");
    it->deferred[it->deferred_count++] = (void *)(uintptr_t)memory;
    fake_stream_add(on, 0);
    fake_unlock();
    return SUCCESS;
}

/* Done at once, so nothing may be pending before it. */
static int copy(void *to, const void *from, size_t bytes, void *on) {
    NEEDS_CONTEXT;
    fake_lock();
    if (of(on)->pending) fake_broken("a copy on a stream with %d operations: the stand-in cannot order them", of(on)->pending);
    memcpy(to, from, bytes);
    fake_unlock();
    return SUCCESS;
}
FAKE_API int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t bytes, void *on) { return copy((void *)(uintptr_t)to, from, bytes, on); }
FAKE_API int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t bytes, void *on) { return copy(to, (void *)(uintptr_t)from, bytes, on); }
FAKE_API int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t bytes, void *on) {
    return copy((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes, on);
}
FAKE_API int cuMemsetD8Async(unsigned long long to, unsigned char value, size_t bytes, void *on) {
    NEEDS_CONTEXT;
    (void)on;
    memset((void *)(uintptr_t)to, value, bytes);
    return SUCCESS;
}

FAKE_API int cuStreamCreate(void **to, unsigned int flags) {
    NEEDS_CONTEXT;
    stream *it = calloc(1, sizeof *it);
    fake_lock();
    it->number = ++s_streams;
    fake_log("cuStreamCreate(%u) = stream %d", flags, it->number);
    s_left++;
    fake_unlock();
    *to = it;
    return SUCCESS;
}
FAKE_API int cuStreamDestroy_v2(void *it) {
    NEEDS_CONTEXT;
    fake_lock();
    if (of(it)->pending) fake_broken("a stream with %d operations is destroyed", of(it)->pending);
    s_left--;
    fake_unlock();
    free(it);
    return SUCCESS;
}
FAKE_API int cuStreamQuery(void *it) {
    NEEDS_CONTEXT;
    fake_lock();
    int pending = of(it)->pending;
    fake_unlock();
    return pending ? NOT_READY : SUCCESS;
}
