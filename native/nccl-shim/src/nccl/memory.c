/* Device memory for buffers: NCCL's own allocator where it has one (its memory can be registered with the network), else the driver's. */
#include <stdlib.h>

#include "nccl.h"

static void give_back(nccl *self, const nccl_allocation *it) {
    if (it->by_nccl)
        self->api->mem_free(it->memory);
    else
        self->cuda->mem_free((cuda_pointer)(uintptr_t)it->memory);
}

/* Out of memory leaves the communicator alive. */
static dt_status take(nccl *self, int64_t bytes, nccl_allocation *it) {
    cuda_pointer memory = 0;
    it->by_nccl = self->api->mem_alloc && self->api->mem_free;
    if (it->by_nccl) {
        if (self->api->mem_alloc(&it->memory, (size_t)bytes) == NCCL_SUCCESS && it->memory) return DT_OK;
        it->by_nccl = false; /* it wants virtual memory management, which not every device has */
    }
    cuda_result result = self->cuda->mem_alloc(&memory, (size_t)bytes);
    if (result == CUDA_OUT_OF_MEMORY)
        return comm_error(&self->comm, DT_OUT_OF_MEMORY, "dt_alloc: the device has no %lld bytes left", (long long)bytes);
    it->memory = (void *)(uintptr_t)memory;
    return nccl_check_cuda(self, "cuMemAlloc", result);
}

static dt_status take_zeroed(nccl *self, int64_t bytes, nccl_allocation *it) {
    dt_status status = take(self, bytes, it);
    if (status != DT_OK) return status;
    status = nccl_check_cuda(self, "cuMemsetD8Async",
                             self->cuda->memset_d8_async((cuda_pointer)(uintptr_t)it->memory, 0, (size_t)bytes, self->internal));
    if (status == DT_OK) status = nccl_wait_stream(self, self->internal, "dt_alloc");
    if (status != DT_OK) give_back(self, it);
    return status;
}

dt_status nccl_allocate(dt_comm *comm, int64_t bytes, uint32_t flags, void **memory) {
    nccl *self = nccl_of(comm);
    (void)flags; /* the driver picks its pages */
    dt_status status = nccl_enter(self);
    if (status != DT_OK) return status;
    nccl_allocation *it = calloc(1, sizeof *it);
    status = it ? take_zeroed(self, bytes, it) : comm_error(comm, DT_OUT_OF_MEMORY, "dt_alloc: no memory");
    if (status != DT_OK) {
        free(it);
        return nccl_leave(self, status);
    }
    it->next = self->allocations;
    self->allocations = it;
    *memory = it->memory;
    return nccl_leave(self, DT_OK);
}

dt_status nccl_release(dt_comm *comm, void *memory) {
    nccl *self = nccl_of(comm);
    cuda_context ignored;
    nccl_allocation **at = &self->allocations;
    while (*at && (*at)->memory != memory) at = &(*at)->next;
    nccl_allocation *it = *at;
    if (!it) return comm_error(comm, DT_INVALID_ARGUMENT, "dt_free: %p is not from dt_alloc of this communicator, or freed", memory);
    *at = it->next;
    nccl_settle(self); /* freeing waits for the device: no kernel may be waiting for a lost peer */
    bool pushed = self->cuda->push_context(self->context) == CUDA_SUCCESS;
    give_back(self, it);
    if (pushed) self->cuda->pop_context(&ignored); /* else it would be the caller's */
    free(it);
    return DT_OK;
}

void nccl_release_all(nccl *self) {
    while (self->allocations) {
        nccl_allocation *it = self->allocations;
        self->allocations = it->next;
        give_back(self, it);
        free(it);
    }
}
