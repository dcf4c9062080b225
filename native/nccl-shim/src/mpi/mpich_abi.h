/* Facts of the common ABI of MPICH 3.1 and later, MVAPICH, Intel MPI and Cray MPI (libmpi.so.12): handles are numbers. */
#ifndef DT_MPI_MPICH_ABI_H
#define DT_MPI_MPICH_ABI_H

#include <stdbool.h>
#include <stdint.h>

typedef int abi_comm, abi_request, abi_datatype, abi_errhandler;

typedef struct abi_status {
    int count_low, count_high_and_cancelled;
    int source, tag, error;
} abi_status;

enum { ABI_ANY_SOURCE = -2, ABI_ANY_TAG = -1, ABI_UNDEFINED = -32766, ABI_ERR_TRUNCATE = 14, ABI_MAX_ERROR_STRING = 1024 };

#define ABI_NAME "MPICH"
#define ABI_IN_PLACE ((void *)-1)
#define ABI_NEUTRAL(handle) ((uint64_t)(uint32_t)(handle))
#define ABI_HANDLE(type, number) ((type)(uint32_t)(number))

static const abi_comm abi_world = 0x44000000;
static const abi_datatype abi_byte = 0x4c00010d;
static const abi_errhandler abi_errors_return = 0x54000001;

static bool abi_constants(void *library, const char **missing) {
    (void)library, (void)missing;
    return true;
}

#endif
