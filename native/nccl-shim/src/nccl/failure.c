/* The first failure is written down and holds from then on; then the engine's communicator is aborted. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nccl.h"

dt_status nccl_status(nccl_result result) {
    switch (result) {
    case NCCL_SUCCESS: return DT_OK;
    case NCCL_UNHANDLED_CUDA_ERROR:
    case NCCL_SYSTEM_ERROR: return DT_SYSTEM_ERROR;
    case NCCL_INVALID_ARGUMENT:
    case NCCL_INVALID_USAGE: return DT_INVALID_USAGE;
    case NCCL_REMOTE_ERROR: return DT_PEER_LOST;
    default: return DT_INTERNAL_ERROR;
    }
}

dt_status nccl_state(nccl *self) { return atomic_load_explicit(&self->failed, memory_order_acquire); }

dt_status nccl_fail(nccl *self, dt_status status, int32_t reason, const char *format, ...) {
    char text[DT_TEXT_BYTES], last[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&self->failure_lock);
    if (nccl_state(self) == DT_OK) {
        nccl_last_call(self, last, sizeof last);
        snprintf(self->failure_text, sizeof self->failure_text, "rank %d (pid %d): %.700s; its %s", self->comm.rank, (int)getpid(), text, last);
        uint64_t count = self->record_count;
        const dt_flight_record *record = count ? &self->records[(count - 1) % DT_FLIGHT_RECORDS].entry : NULL;
        self->failure = (dt_failure){.struct_bytes = sizeof self->failure, .status = status, .rank = status == DT_ABORTED ? self->comm.rank : -1,
                                     .pid = status == DT_ABORTED ? (int32_t)getpid() : 0, .reason = reason,
                                     .sequence = record ? record->sequence : 0, .verb = record ? (uint64_t)record->verb : 0};
        atomic_store_explicit(&self->failed, status, memory_order_release);
    }
    status = nccl_state(self);
    pthread_mutex_unlock(&self->failure_lock);
    return status;
}

dt_status nccl_fail_with(nccl *self, const char *what, nccl_result result, const char *last_error) {
    return nccl_fail(self, nccl_status(result), DT_REASON_NONE, "%s: %s (%d)%s%.500s", what, self->api->error_string(result), result,
                     last_error && *last_error ? ": " : "", last_error ? last_error : "");
}

/* The lock is waited for a second at most: whoever has it finds the failure when giving it back. */
void nccl_settle(nccl *self) {
    struct timespec limit;
    if (nccl_state(self) == DT_OK) return;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 1;
    if (pthread_mutex_timedlock(&self->use, &limit) != 0) return;
    if (self->engine) self->api->abort(self->engine);
    self->engine = NULL;
    pthread_mutex_unlock(&self->use);
}
