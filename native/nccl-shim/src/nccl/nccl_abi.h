/* The part of NCCL's binary interface that is used, as its versions since 2.14 have it. Nothing of NCCL is needed to build. */
#ifndef DT_NCCL_ABI_H
#define DT_NCCL_ABI_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nccl_comm *nccl_comm; /* opaque */
typedef struct nccl_unique_id {      /* passed by value */
    char bytes[128];
} nccl_unique_id;

typedef int nccl_result;
enum {
    NCCL_SUCCESS = 0,
    NCCL_UNHANDLED_CUDA_ERROR = 1,
    NCCL_SYSTEM_ERROR = 2,
    NCCL_INTERNAL_ERROR = 3,
    NCCL_INVALID_ARGUMENT = 4,
    NCCL_INVALID_USAGE = 5,
    NCCL_REMOTE_ERROR = 6,
    NCCL_IN_PROGRESS = 7
};

enum { NCCL_UINT8 = 1, NCCL_INT32 = 2, NCCL_INT64 = 4, NCCL_FLOAT16 = 6, NCCL_FLOAT32 = 7, NCCL_FLOAT64 = 8, NCCL_BFLOAT16 = 9 };
enum { NCCL_SUM = 0, NCCL_PROD = 1, NCCL_MAX = 2, NCCL_MIN = 3, NCCL_AVG = 4 };
enum { NCCL_SPLIT_NO_COLOR = -1 };

/* Version 2.14's. Later ones have more fields; they read size and version and take the rest from their defaults. unset lies where 2.17 put
 * its first new field, with the number that means "not set" there. */
typedef struct nccl_config {
    size_t size;
    unsigned int magic;
    unsigned int version;
    int blocking;
    int unset;
} nccl_config;
enum { NCCL_VERSION_MIN = 21400, NCCL_VERSION_SPLIT = 21800 };
#define NCCL_NON_BLOCKING ((nccl_config){sizeof(nccl_config), 0xcafebeefu, NCCL_VERSION_MIN, 0, INT_MIN})

#endif
