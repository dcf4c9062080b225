/* Ranks of an nccl world as threads of this process, over the stand-ins of NCCL and the CUDA driver. */
#ifndef DT_TESTS_NCCL_RANKS_H
#define DT_TESTS_NCCL_RANKS_H

#include "fake_nccl/fake.h"
#include "ranks.h"

typedef struct nccl_world {
    int32_t size;
    uint32_t flags;
    int64_t timeout_ms; /* 0: 30 s */
    const void *argument;
} nccl_world;

/* Runs body on all ranks, device r for rank r; afterwards nothing must be left of them. */
void run_nccl_ranks(nccl_world world, void (*body)(rank_context *));
dt_options nccl_options(int32_t rank, nccl_world world, const void *unique_id);

#endif
