/* Waiting: by polling alone, because NCCL and the driver have no wait that ends. */
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "nccl.h"

enum { SPIN_NS = 50 * 1000, YIELD_NS = 1000 * 1000, SLEEP_NS = 100 * 1000, ASK_NS = 1000 * 1000 };

static void rest(int64_t waited_ns) {
    if (waited_ns < SPIN_NS) return;
    if (waited_ns < YIELD_NS)
        sched_yield();
    else
        nanosleep(&(struct timespec){0, SLEEP_NS}, NULL);
}

dt_status nccl_check_cuda(nccl *self, const char *what, cuda_result result) {
    const char *name = NULL;
    if (result == CUDA_SUCCESS) return DT_OK;
    if (self->cuda->error_name(result, &name) != CUDA_SUCCESS || !name) name = "an unknown error";
    return nccl_fail(self, result == CUDA_OUT_OF_MEMORY ? DT_OUT_OF_MEMORY : DT_SYSTEM_ERROR, DT_REASON_NONE, "%s: %s (%d)", what, name, result);
}

dt_status nccl_enter(nccl *self) {
    dt_status status = nccl_state(self);
    if (status != DT_OK) return status;
    self->deadline_ns = nanoseconds_now() + atomic_load(&self->comm.timeout_ms) * 1000000;
    status = nccl_check_cuda(self, "cuCtxPushCurrent", self->cuda->push_context(self->context));
    if (status != DT_OK) nccl_settle(self);
    return status;
}

dt_status nccl_leave(nccl *self, dt_status status) {
    cuda_context ignored;
    nccl_settle(self);
    self->cuda->pop_context(&ignored);
    return status;
}

bool nccl_hold(nccl *self) {
    while (nccl_state(self) == DT_OK) { /* who aborts says so before taking the lock, perhaps for long */
        if (pthread_mutex_trylock(&self->use) != 0) {
            sched_yield();
            continue;
        }
        if (nccl_state(self) == DT_OK && self->engine) return true;
        pthread_mutex_unlock(&self->use);
        return false;
    }
    return false;
}

void nccl_let_go(nccl *self) { pthread_mutex_unlock(&self->use); }

static dt_status late(nccl *self, const char *what) {
    return nccl_fail(self, DT_TIMEOUT, DT_REASON_NONE, "%s timed out after %lld ms; NCCL does not tell which rank has not arrived", what,
                     (long long)atomic_load(&self->comm.timeout_ms));
}

/* What the engine says of itself: success, in progress, or an error, which is written down. */
static nccl_result ask(nccl *self, const char *what) {
    nccl_result error = NCCL_SUCCESS;
    if (!nccl_hold(self)) return NCCL_REMOTE_ERROR; /* its failure has been written down */
    nccl_result result = self->api->async_error(self->engine, &error);
    if (result == NCCL_SUCCESS) result = error;
    if (result != NCCL_SUCCESS && result != NCCL_IN_PROGRESS) nccl_fail_with(self, what, result, self->api->last_error(self->engine));
    nccl_let_go(self);
    return result;
}

dt_status nccl_finish(nccl *self, const char *what, nccl_result result) {
    int64_t start = nanoseconds_now();
    if (result != NCCL_SUCCESS && result != NCCL_IN_PROGRESS) {
        bool held = nccl_hold(self);
        nccl_fail_with(self, what, result, held ? self->api->last_error(self->engine) : NULL);
        if (held) nccl_let_go(self);
    }
    while (nccl_state(self) == DT_OK && result == NCCL_IN_PROGRESS) {
        int64_t now = nanoseconds_now();
        result = ask(self, what);
        if (result == NCCL_IN_PROGRESS && now > self->deadline_ns) late(self, what);
        if (result == NCCL_IN_PROGRESS) rest(now - start);
    }
    return nccl_state(self);
}

dt_status nccl_wait_stream(nccl *self, cuda_stream stream, const char *what) {
    int64_t start = nanoseconds_now(), asked = start;
    for (;;) {
        dt_status status = nccl_state(self);
        if (status != DT_OK) return status;
        cuda_result result = self->cuda->stream_query(stream);
        /* An abort ends the stream's work too, and has been written down before it did. */
        if (result == CUDA_SUCCESS) return nccl_state(self);
        if (result != CUDA_NOT_READY) return nccl_check_cuda(self, what, result);
        int64_t now = nanoseconds_now();
        if (now - asked > ASK_NS) {
            asked = now;
            ask(self, what);
        }
        if (now > self->deadline_ns) return late(self, what);
        rest(now - start);
    }
}
