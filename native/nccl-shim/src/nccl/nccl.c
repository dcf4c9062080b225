/* The nccl transport put together. */
#include "nccl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Joined for good once it exists: locks, the driver's device and its primary context. */
static dt_status open_device(nccl *self, int32_t ordinal, char *text, size_t text_bytes) {
    const cuda_driver *cuda = self->cuda;
    int count = 0;
    self->device_ordinal = ordinal;
    dt_status status = nccl_check_cuda(self, "cuInit", cuda->init(0));
    if (status == DT_OK) status = nccl_check_cuda(self, "cuDeviceGetCount", cuda->device_get_count(&count));
    if (status == DT_OK && ordinal >= count) {
        snprintf(text, text_bytes, "device %d: the CUDA driver has %d", ordinal, count);
        return DT_INVALID_ARGUMENT;
    }
    if (status == DT_OK) status = nccl_check_cuda(self, "cuDeviceGet", cuda->device_get(&self->device, ordinal));
    if (status == DT_OK) status = nccl_check_cuda(self, "cuDevicePrimaryCtxRetain", cuda->retain_primary(&self->context, self->device));
    self->retained = status == DT_OK;
    if (status != DT_OK) snprintf(text, text_bytes, "%s", self->failure_text);
    return status;
}

nccl *nccl_create(const dt_options *options, dt_status *status, char *text, size_t text_bytes) {
    const nccl_library *api;
    const cuda_driver *cuda;
    *status = nccl_load(&api, &cuda, text, text_bytes);
    if (*status != DT_OK) return NULL;
    nccl *self = calloc(1, sizeof *self);
    unsigned char *headers = calloc((size_t)options->world_size, NCCL_HEADER_BYTES);
    *status = self && headers ? comm_initialise(&self->comm, &nccl_transport, options) : DT_OUT_OF_MEMORY;
    if (*status != DT_OK) {
        free(headers);
        free(self);
        snprintf(text, text_bytes, "no memory");
        return NULL;
    }
    self->headers = headers;
    self->api = api;
    self->cuda = cuda;
    pthread_mutex_init(&self->use, NULL);
    pthread_mutex_init(&self->failure_lock, NULL);
    *status = open_device(self, options->device, text, text_bytes);
    if (*status == DT_OK) return self;
    nccl_destroy(&self->comm);
    return NULL;
}

dt_status nccl_complete(nccl *self) {
    const cuda_driver *cuda = self->cuda;
    size_t bytes = NCCL_WORD_BYTES + (size_t)NCCL_HEADER_BYTES * (size_t)(self->comm.world_size + 1);
    dt_status status = nccl_check_cuda(self, "cuStreamCreate", cuda->stream_create(&self->internal, CUDA_STREAM_NON_BLOCKING));
    self->has_internal = status == DT_OK;
    if (status == DT_OK) status = nccl_check_cuda(self, "cuMemAlloc", cuda->mem_alloc(&self->scratch, bytes));
    if (status == DT_OK) status = nccl_check_cuda(self, "cuMemsetD8Async", cuda->memset_d8_async(self->scratch, 0, bytes, self->internal));
    return status == DT_OK ? nccl_wait_stream(self, self->internal, "the first use of the device") : status;
}

static dt_status begin(nccl *self, const void *unique_id) {
    nccl_unique_id id;
    nccl_config config = NCCL_NON_BLOCKING;
    memcpy(&id, unique_id, sizeof id);
    for (size_t i = 0; i < sizeof id; i++) self->group = (self->group ^ (unsigned char)id.bytes[i]) * 0x100000001B3ull;
    nccl_result result = self->api->init(&self->engine, self->comm.world_size, id, self->comm.rank, &config);
    if (!self->engine) {
        if (result == NCCL_SUCCESS || result == NCCL_IN_PROGRESS) return nccl_fail(self, DT_INTERNAL_ERROR, DT_REASON_NONE, "ncclCommInitRankConfig gave no communicator");
        return nccl_fail_with(self, "ncclCommInitRankConfig", result, self->api->last_error(NULL));
    }
    dt_status status = nccl_finish(self, "joining (ncclCommInitRankConfig)", result);
    return status == DT_OK ? nccl_complete(self) : status;
}

dt_status nccl_join(const dt_options *options, dt_comm **comm, char *text, size_t text_bytes) {
    dt_status status;
    nccl *self = nccl_create(options, &status, text, text_bytes);
    if (!self) return status;
    status = nccl_enter(self);
    if (status == DT_OK) status = nccl_leave(self, begin(self, options->unique_id));
    if (status != DT_OK) {
        snprintf(text, text_bytes, "%s", self->failure_text);
        nccl_destroy(&self->comm);
        return status;
    }
    *comm = &self->comm;
    return DT_OK;
}

/* Healthy: what was enqueued is let finish, within the timeout. Otherwise, and if that fails: abort. */
static void end_engine(nccl *self) {
    self->deadline_ns = nanoseconds_now() + atomic_load(&self->comm.timeout_ms) * 1000000;
    if (nccl_hold(self)) {
        nccl_result result = self->api->finalize(self->engine);
        nccl_let_go(self);
        nccl_finish(self, "ncclCommFinalize", result);
    }
    nccl_settle(self);
    pthread_mutex_lock(&self->use);
    if (self->engine && nccl_state(self) == DT_OK) self->api->destroy(self->engine);
    self->engine = NULL;
    pthread_mutex_unlock(&self->use);
}

void nccl_destroy(dt_comm *comm) {
    nccl *self = nccl_of(comm);
    cuda_context ignored;
    bool pushed = self->retained && self->cuda->push_context(self->context) == CUDA_SUCCESS;
    end_engine(self);
    if (pushed) {
        nccl_release_all(self);
        if (self->scratch) self->cuda->mem_free(self->scratch);
        if (self->has_internal) self->cuda->stream_destroy(self->internal);
        self->cuda->pop_context(&ignored);
    }
    if (self->retained) self->cuda->release_primary(self->device);
    while (self->allocations) { /* the context is gone, and they with it */
        nccl_allocation *next = self->allocations->next;
        free(self->allocations);
        self->allocations = next;
    }
    free(self->headers);
    pthread_mutex_destroy(&self->use);
    pthread_mutex_destroy(&self->failure_lock);
    comm_dispose(comm);
    free(self);
}

static void abort_all(dt_comm *comm, const char *why) {
    nccl_fail(nccl_of(comm), DT_ABORTED, DT_REASON_NONE, "aborted: %.400s", why ? why : "no reason given");
    nccl_settle(nccl_of(comm));
}

/* Without waiting: asks the engine if nobody else does just now. */
static dt_status state(dt_comm *comm) {
    nccl *self = nccl_of(comm);
    nccl_result error = NCCL_SUCCESS;
    if (nccl_state(self) != DT_OK || pthread_mutex_trylock(&self->use) != 0) return nccl_state(self);
    if (self->engine) {
        nccl_result result = self->api->async_error(self->engine, &error);
        if (result == NCCL_SUCCESS) result = error;
        if (result != NCCL_SUCCESS && result != NCCL_IN_PROGRESS) nccl_fail_with(self, "the communicator", result, self->api->last_error(self->engine));
    }
    pthread_mutex_unlock(&self->use);
    nccl_settle(self);
    return nccl_state(self);
}

static void failure(dt_comm *comm, dt_failure *to, char *text, size_t text_bytes) {
    nccl *self = nccl_of(comm);
    *to = (dt_failure){.struct_bytes = sizeof *to, .status = DT_OK, .rank = -1};
    pthread_mutex_lock(&self->failure_lock);
    if (nccl_state(self) != DT_OK) {
        *to = self->failure;
        snprintf(text, text_bytes, "%s", self->failure_text);
    } else if (text_bytes) {
        *text = 0;
    }
    pthread_mutex_unlock(&self->failure_lock);
}

static void describe(dt_comm *comm, dt_description *to) {
    nccl *self = nccl_of(comm);
    to->group = self->group;
    pthread_mutex_lock(&self->failure_lock);
    uint64_t count = self->record_count;
    to->sequence = count ? self->records[(count - 1) % DT_FLIGHT_RECORDS].entry.sequence : 0;
    pthread_mutex_unlock(&self->failure_lock);
}

static dt_status set_stream(dt_comm *comm, void *stream) {
    nccl_of(comm)->stream = (cuda_stream)stream;
    return nccl_state(nccl_of(comm));
}

static dt_status synchronize(dt_comm *comm) {
    nccl *self = nccl_of(comm);
    dt_status status = nccl_enter(self);
    if (status != DT_OK) return status;
    status = nccl_wait_stream(self, self->stream, "dt_synchronize");
    if (status == DT_OK) nccl_record_done(self, self->stream);
    return nccl_leave(self, status);
}

const dt_transport nccl_transport = {
    .collective = nccl_collective,
    .exchange = nccl_exchange,
    .split = nccl_split,
    .allocate = nccl_allocate,
    .release = nccl_release,
    .destroy = nccl_destroy,
    .abort = abort_all,
    .state = state,
    .failure = failure,
    .describe = describe,
    .records = nccl_records,
    .set_stream = set_stream,
    .synchronize = synchronize,
};
