/* The verbs: each is enqueued on the caller's stream; what the engine does not do in one call is a group of sends and receives. */
#include "nccl.h"

static int dtype_of(int32_t dtype) {
    static const int numbers[] = {[DT_F32] = NCCL_FLOAT32, [DT_F64] = NCCL_FLOAT64, [DT_I32] = NCCL_INT32,
                                  [DT_I64] = NCCL_INT64,   [DT_F16] = NCCL_FLOAT16, [DT_BF16] = NCCL_BFLOAT16};
    return numbers[dtype];
}

static int op_of(int32_t op) {
    static const int numbers[] = {[DT_SUM] = NCCL_SUM, [DT_PRODUCT] = NCCL_PROD, [DT_MIN] = NCCL_MIN, [DT_MAX] = NCCL_MAX, [DT_AVERAGE] = NCCL_AVG};
    return numbers[op];
}

/* The engine's communicator is held. A group that was begun is ended whatever came in between: it belongs to the thread. */
static nccl_result end_group(nccl *self, nccl_result result) {
    nccl_result ended = self->api->group_end();
    return result == NCCL_SUCCESS || result == NCCL_IN_PROGRESS ? ended : result;
}

static nccl_result all_to_all(nccl *self, const dt_call *call, const char *send) {
    const nccl_library *api = self->api;
    size_t count = (size_t)call->count, step = count * (size_t)dtype_bytes(call->dtype);
    int dtype = dtype_of(call->dtype);
    nccl_result result = api->group_start();
    if (result != NCCL_SUCCESS) return result;
    for (int32_t peer = 0; peer < self->comm.world_size && (result == NCCL_SUCCESS || result == NCCL_IN_PROGRESS); peer++) {
        result = api->send(send + (size_t)peer * step, count, dtype, peer, self->engine, self->stream);
        if (result == NCCL_SUCCESS || result == NCCL_IN_PROGRESS)
            result = api->recv(call->recv + (size_t)peer * step, count, dtype, peer, self->engine, self->stream);
    }
    return end_group(self, result);
}

/* send: the buffer to read, which need not be the caller's. */
static nccl_result enqueue(nccl *self, const dt_call *call, const char *send) {
    const nccl_library *api = self->api;
    size_t count = (size_t)call->count;
    int dtype = dtype_of(call->dtype), op = op_of(call->op);
    void *word = (void *)(uintptr_t)self->scratch;
    switch (call->verb) {
    case DT_VERB_BARRIER: return api->all_reduce(word, word, 1, NCCL_INT32, NCCL_SUM, self->engine, self->stream);
    case DT_VERB_ALL_REDUCE: return api->all_reduce(send, call->recv, count, dtype, op, self->engine, self->stream);
    case DT_VERB_REDUCE_SCATTER: return api->reduce_scatter(send, call->recv, count, dtype, op, self->engine, self->stream);
    case DT_VERB_ALL_GATHER: return api->all_gather(send, call->recv, count, dtype, self->engine, self->stream);
    case DT_VERB_BROADCAST: return api->broadcast(send ? send : call->recv, call->recv, count, dtype, call->root, self->engine, self->stream);
    case DT_VERB_REDUCE: return api->reduce(send, call->recv, count, dtype, op, call->root, self->engine, self->stream);
    default: return all_to_all(self, call, send);
    }
}

static const char *name_of(int32_t verb) {
    static const char *const names[] = {
        [DT_VERB_BARRIER] = "the barrier (ncclAllReduce)", [DT_VERB_ALL_REDUCE] = "ncclAllReduce", [DT_VERB_REDUCE_SCATTER] = "ncclReduceScatter",
        [DT_VERB_ALL_GATHER] = "ncclAllGather",            [DT_VERB_BROADCAST] = "ncclBroadcast",  [DT_VERB_REDUCE] = "ncclReduce",
        [DT_VERB_ALL_TO_ALL] = "the all-to-all (ncclSend, ncclRecv)",
    };
    return names[verb];
}

static dt_status run(nccl *self, const dt_call *call, const char *send) {
    if (call->count == 0 && call->verb != DT_VERB_BARRIER) return DT_OK;
    if (!nccl_hold(self)) return nccl_state(self);
    nccl_result result = enqueue(self, call, send);
    nccl_let_go(self);
    return nccl_finish(self, name_of(call->verb), result);
}

/* Sends from, and receives into, one buffer at once would race: the sends read a copy that the stream makes, and frees when all is done. */
static dt_status all_to_all_in_place(nccl *self, const dt_call *call) {
    const cuda_driver *cuda = self->cuda;
    size_t bytes = (size_t)call->count * (size_t)dtype_bytes(call->dtype) * (size_t)self->comm.world_size;
    cuda_pointer copy = 0;
    if (!cuda->mem_alloc_async || !cuda->mem_free_async)
        return comm_error(&self->comm, DT_UNSUPPORTED, "all_to_all in place on nccl needs cuMemAllocAsync, which this CUDA driver does not have (11.2 has); use two buffers");
    dt_status status = nccl_check_cuda(self, "cuMemAllocAsync", cuda->mem_alloc_async(&copy, bytes, self->stream));
    if (status != DT_OK) return status;
    status = nccl_check_cuda(self, "cuMemcpyDtoDAsync", cuda->copy_on_device(copy, (cuda_pointer)(uintptr_t)call->send, bytes, self->stream));
    if (status == DT_OK) status = run(self, call, (const char *)(uintptr_t)copy);
    cuda_result freed = cuda->mem_free_async(copy, self->stream);
    return status == DT_OK ? nccl_check_cuda(self, "cuMemFreeAsync", freed) : status;
}

dt_status nccl_collective(dt_comm *comm, const dt_call *call) {
    nccl *self = nccl_of(comm);
    dt_status status = nccl_enter(self);
    if (status != DT_OK) return status;
    comm_count_call(comm);
    uint64_t record = nccl_record_enter(self, call);
    if (comm->flags & DT_CHECK_CALLS) status = nccl_compare(self, call);
    bool in_place = call->verb == DT_VERB_ALL_TO_ALL && call->count && call->send == call->recv;
    if (status == DT_OK) status = in_place ? all_to_all_in_place(self, call) : run(self, call, call->send);
    if (status != DT_OK) nccl_record_end(self, record, status);
    return nccl_leave(self, status);
}

static nccl_result transfer_all(nccl *self, const dt_transfer *transfers, int32_t count) {
    const nccl_library *api = self->api;
    nccl_result result = api->group_start();
    if (result != NCCL_SUCCESS) return result;
    for (int32_t i = 0; i < count && (result == NCCL_SUCCESS || result == NCCL_IN_PROGRESS); i++) {
        const dt_transfer *one = &transfers[i];
        if (one->count == 0) continue; /* on the other side, too */
        result = one->verb == DT_VERB_SEND
                     ? api->send(one->buffer, (size_t)one->count, dtype_of(one->dtype), one->peer, self->engine, self->stream)
                     : api->recv(one->buffer, (size_t)one->count, dtype_of(one->dtype), one->peer, self->engine, self->stream);
    }
    return end_group(self, result);
}

dt_status nccl_exchange(dt_comm *comm, const dt_transfer *transfers, int32_t count) {
    nccl *self = nccl_of(comm);
    for (int32_t i = 0; i < count; i++)
        if (transfers[i].verb == DT_VERB_RECV_REDUCE)
            return comm_error(comm, DT_UNSUPPORTED, "recv_reduce from rank %d: nccl has no such transfer; receive into scratch memory and add it there", transfers[i].peer);
    dt_status status = nccl_enter(self);
    if (status != DT_OK) return status;
    const dt_transfer *first = &transfers[0];
    uint64_t record = nccl_record_enter(self, &(dt_call){first->verb, first->dtype, first->op, first->peer, NULL, NULL, first->count});
    if (nccl_hold(self)) {
        nccl_result result = transfer_all(self, transfers, count);
        nccl_let_go(self);
        nccl_finish(self, "a group of ncclSend and ncclRecv", result);
    }
    status = nccl_state(self);
    if (status != DT_OK) nccl_record_end(self, record, status);
    return nccl_leave(self, status);
}
