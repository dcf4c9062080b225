/* Check mode: before a collective all ranks gather each other's calls. It waits for what came before on the communicator, so it is for finding
 * mistakes, not for speed. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nccl.h"

typedef struct header {
    uint64_t sequence;
    int32_t verb, dtype, op, root;
    int64_t count;
    uint64_t pid;
    uint64_t group;
} header;
_Static_assert(sizeof(header) == NCCL_HEADER_BYTES, "a header has 48 bytes");

static void describe(const header *from, int32_t rank, char *text, size_t text_bytes) {
    char call[200];
    call_text(call, sizeof call, from->sequence, from->verb, from->dtype, from->op, from->root, from->count);
    snprintf(text, text_bytes, "rank %d (pid %d) called %s", rank, (int)from->pid, call);
}

static bool same(const header *left, const header *right) {
    return left->sequence == right->sequence && left->verb == right->verb && left->dtype == right->dtype && left->op == right->op &&
           left->root == right->root && left->count == right->count && left->group == right->group;
}

static dt_status gather(nccl *self, const header *own) {
    const cuda_driver *cuda = self->cuda;
    cuda_pointer mine = self->scratch + NCCL_WORD_BYTES, all = mine + NCCL_HEADER_BYTES;
    size_t bytes = (size_t)self->comm.world_size * NCCL_HEADER_BYTES;
    dt_status status = nccl_check_cuda(self, "cuMemcpyHtoDAsync", cuda->copy_from_host(mine, own, NCCL_HEADER_BYTES, self->internal));
    if (status != DT_OK) return status;
    if (!nccl_hold(self)) return nccl_state(self);
    nccl_result result = self->api->all_gather((const void *)(uintptr_t)mine, (void *)(uintptr_t)all, NCCL_HEADER_BYTES, NCCL_UINT8, self->engine,
                                               self->internal);
    nccl_let_go(self);
    status = nccl_finish(self, "the comparison of calls", result);
    /* The copy to ordinary memory may hold the thread, so it comes when there is nothing more to wait for. */
    if (status == DT_OK) status = nccl_wait_stream(self, self->internal, "the comparison of calls");
    if (status == DT_OK) status = nccl_check_cuda(self, "cuMemcpyDtoHAsync", cuda->copy_to_host(self->headers, all, bytes, self->internal));
    return status == DT_OK ? nccl_wait_stream(self, self->internal, "the comparison of calls") : status;
}

dt_status nccl_compare(nccl *self, const dt_call *call) {
    header own = {self->comm.sequence, call->verb, call->dtype, call->op, call->root, call->count, (uint64_t)getpid(), self->group}, first, other;
    char left[250], right[250];
    dt_status status = gather(self, &own);
    if (status != DT_OK) return status;
    memcpy(&first, self->headers, sizeof first);
    for (int32_t rank = 1; rank < self->comm.world_size; rank++) {
        memcpy(&other, self->headers + (size_t)rank * NCCL_HEADER_BYTES, sizeof other);
        if (same(&first, &other)) continue;
        describe(&first, 0, left, sizeof left);
        describe(&other, rank, right, sizeof right);
        return nccl_fail(self, DT_MISMATCH, DT_REASON_NONE, "ranks called different collectives: %s, %s", left, right);
    }
    return DT_OK;
}
