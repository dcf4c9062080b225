/* Sub-groups: ncclCommSplit, in NCCL since 2.18. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nccl.h"

typedef struct place {
    int32_t color, key;
} place;

/* Everybody's color and key, so that a part knows its size and its own rank. */
static dt_status tell_all(nccl *self, const place *mine, place *all) {
    const cuda_driver *cuda = self->cuda;
    cuda_pointer from = self->scratch + NCCL_WORD_BYTES, to = from + NCCL_HEADER_BYTES;
    dt_status status = nccl_check_cuda(self, "cuMemcpyHtoDAsync", cuda->copy_from_host(from, mine, sizeof *mine, self->internal));
    if (status != DT_OK) return status;
    if (!nccl_hold(self)) return nccl_state(self);
    nccl_result result = self->api->all_gather((const void *)(uintptr_t)from, (void *)(uintptr_t)to, sizeof *mine, NCCL_UINT8, self->engine, self->internal);
    nccl_let_go(self);
    status = nccl_finish(self, "dt_comm_split", result);
    if (status == DT_OK) status = nccl_wait_stream(self, self->internal, "dt_comm_split");
    if (status == DT_OK)
        status = nccl_check_cuda(self, "cuMemcpyDtoHAsync",
                                 cuda->copy_to_host(all, to, sizeof *all * (size_t)self->comm.world_size, self->internal));
    return status == DT_OK ? nccl_wait_stream(self, self->internal, "dt_comm_split") : status;
}

static void find_place(const place *all, int32_t world, int32_t rank, int32_t *part_rank, int32_t *part_size) {
    *part_rank = *part_size = 0;
    for (int32_t other = 0; other < world; other++) {
        if (all[other].color != all[rank].color) continue;
        *part_size += 1;
        *part_rank += all[other].key != all[rank].key ? all[other].key < all[rank].key : other < rank;
    }
}

static nccl *create_part(nccl *self, const place *all, dt_status *status) {
    char text[DT_TEXT_BYTES] = "";
    dt_options options = {.struct_bytes = sizeof options, .transport = DT_TRANSPORT_NCCL, .flags = self->comm.flags,
                          .timeout_ms = atomic_load(&self->comm.timeout_ms), .device = self->device_ordinal};
    find_place(all, self->comm.world_size, self->comm.rank, &options.rank, &options.world_size);
    nccl *part = nccl_create(&options, status, text, sizeof text);
    if (!part) {
        comm_error(&self->comm, *status, "dt_comm_split: %.900s", text);
        return NULL;
    }
    part->stream = self->stream;
    part->group = (self->group ^ self->comm.sequence) * 0x9E3779B97F4A7C15ull + (uint64_t)(uint32_t)all[self->comm.rank].color;
    return part;
}

static dt_status split(nccl *self, const place *mine, place *all, nccl **part) {
    dt_status status = tell_all(self, mine, all);
    if (status != DT_OK) return status;
    if (mine->color >= 0 && !(*part = create_part(self, all, &status))) return nccl_fail(self, status, DT_REASON_NONE, "dt_comm_split could not make its part");
    if (!nccl_hold(self)) return nccl_state(self);
    nccl_result result = self->api->split(self->engine, mine->color >= 0 ? mine->color : NCCL_SPLIT_NO_COLOR, mine->key, *part ? &(*part)->engine : &self->nobody, NULL);
    nccl_let_go(self);
    status = nccl_finish(self, "ncclCommSplit", result);
    if (status != DT_OK || !*part) return status;
    (*part)->deadline_ns = self->deadline_ns;
    status = nccl_finish(*part, "ncclCommSplit", NCCL_IN_PROGRESS);
    if (status == DT_OK) status = nccl_complete(*part);
    if (status != DT_OK) comm_error(&self->comm, status, "dt_comm_split: %.900s", (*part)->failure_text);
    return status;
}

dt_status nccl_split(dt_comm *comm, int32_t color, int32_t key, dt_comm **part) {
    nccl *self = nccl_of(comm), *made = NULL;
    if (!self->api->split)
        return comm_error(comm, DT_UNSUPPORTED, "dt_comm_split: this NCCL (%d.%d.%d) has no ncclCommSplit; 2.18 has", self->api->version / 10000,
                          self->api->version / 100 % 100, self->api->version % 100);
    dt_status status = nccl_enter(self);
    if (status != DT_OK) return status;
    place mine = {color < 0 ? -1 : color, key}, *all = calloc((size_t)comm->world_size, sizeof *all);
    comm_count_call(comm);
    uint64_t record = nccl_record_enter(self, &(dt_call){.verb = DT_VERB_SPLIT, .dtype = DTYPE_BYTE});
    status = all ? split(self, &mine, all, &made) : comm_error(comm, DT_OUT_OF_MEMORY, "dt_comm_split: no memory");
    free(all);
    nccl_record_end(self, record, status);
    nccl_leave(self, status); /* a failed parent is aborted before its part goes, which NCCL may still be writing to */
    if (status != DT_OK && made) nccl_destroy(&made->comm);
    *part = status == DT_OK && made ? &made->comm : NULL;
    return status;
}
