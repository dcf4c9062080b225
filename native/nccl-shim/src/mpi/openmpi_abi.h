/* Facts of the Open MPI ABI (4.x and 5.x): handles are pointers to objects that the library exports. */
#ifndef DT_MPI_OPENMPI_ABI_H
#define DT_MPI_OPENMPI_ABI_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void *abi_comm, *abi_request, *abi_datatype, *abi_errhandler;

typedef struct abi_status {
    int source, tag, error;
    int cancelled;
    size_t count;
} abi_status;

enum { ABI_ANY_SOURCE = -1, ABI_ANY_TAG = -1, ABI_UNDEFINED = -32766, ABI_ERR_TRUNCATE = 15, ABI_MAX_ERROR_STRING = 256 };

#define ABI_NAME "Open MPI"
#define ABI_IN_PLACE ((void *)1)
#define ABI_NEUTRAL(handle) ((uint64_t)(uintptr_t)(handle))
#define ABI_HANDLE(type, number) ((type)(uintptr_t)(number))

static abi_comm abi_world;
static abi_datatype abi_byte;
static abi_errhandler abi_errors_return;

static bool abi_constants(void *library, const char **missing) {
    if (!(abi_world = dlsym(library, *missing = "ompi_mpi_comm_world"))) return false;
    if (!(abi_byte = dlsym(library, *missing = "ompi_mpi_byte"))) return false;
    return (abi_errors_return = dlsym(library, *missing = "ompi_mpi_errors_return")) != NULL;
}

#endif
