/* libnccl.so.2 and the CUDA driver, found at run time. */
#ifndef DT_NCCL_LIBRARY_H
#define DT_NCCL_LIBRARY_H

#include <stdbool.h>

#include "disttrain_shim.h"
#include "nccl_abi.h"

typedef struct cuda_context *cuda_context;
typedef struct cuda_stream *cuda_stream;
typedef int cuda_result;
typedef unsigned long long cuda_pointer;
enum { CUDA_SUCCESS = 0, CUDA_OUT_OF_MEMORY = 2, CUDA_NOT_READY = 600, CUDA_STREAM_NON_BLOCKING = 1 };

typedef struct cuda_driver {
    cuda_result (*init)(unsigned int flags);
    cuda_result (*device_get_count)(int *count);
    cuda_result (*device_get)(int *device, int ordinal);
    cuda_result (*retain_primary)(cuda_context *context, int device);
    cuda_result (*release_primary)(int device);
    cuda_result (*push_context)(cuda_context context);
    cuda_result (*pop_context)(cuda_context *context);
    cuda_result (*mem_alloc)(cuda_pointer *memory, size_t bytes);
    cuda_result (*mem_free)(cuda_pointer memory);
    cuda_result (*memset_d8_async)(cuda_pointer memory, unsigned char value, size_t bytes, cuda_stream stream);
    cuda_result (*copy_from_host)(cuda_pointer to, const void *from, size_t bytes, cuda_stream stream);
    cuda_result (*copy_to_host)(void *to, cuda_pointer from, size_t bytes, cuda_stream stream);
    cuda_result (*copy_on_device)(cuda_pointer to, cuda_pointer from, size_t bytes, cuda_stream stream);
    cuda_result (*stream_create)(cuda_stream *stream, unsigned int flags);
    cuda_result (*stream_destroy)(cuda_stream stream);
    cuda_result (*stream_query)(cuda_stream stream);
    cuda_result (*error_name)(cuda_result result, const char **name);
    /* Not in every version: NULL where absent. */
    cuda_result (*mem_alloc_async)(cuda_pointer *memory, size_t bytes, cuda_stream stream);
    cuda_result (*mem_free_async)(cuda_pointer memory, cuda_stream stream);
} cuda_driver;

typedef struct nccl_library {
    int version;
    nccl_result (*get_version)(int *version);
    nccl_result (*get_unique_id)(nccl_unique_id *id);
    nccl_result (*init)(nccl_comm *comm, int world, nccl_unique_id id, int rank, nccl_config *config);
    nccl_result (*finalize)(nccl_comm comm);
    nccl_result (*destroy)(nccl_comm comm);
    nccl_result (*abort)(nccl_comm comm);
    nccl_result (*async_error)(nccl_comm comm, nccl_result *error);
    const char *(*error_string)(nccl_result result);
    const char *(*last_error)(nccl_comm comm);
    nccl_result (*all_reduce)(const void *send, void *recv, size_t count, int dtype, int op, nccl_comm comm, cuda_stream stream);
    nccl_result (*reduce_scatter)(const void *send, void *recv, size_t count, int dtype, int op, nccl_comm comm, cuda_stream stream);
    nccl_result (*all_gather)(const void *send, void *recv, size_t count, int dtype, nccl_comm comm, cuda_stream stream);
    nccl_result (*broadcast)(const void *send, void *recv, size_t count, int dtype, int root, nccl_comm comm, cuda_stream stream);
    nccl_result (*reduce)(const void *send, void *recv, size_t count, int dtype, int op, int root, nccl_comm comm, cuda_stream stream);
    nccl_result (*send)(const void *send, size_t count, int dtype, int peer, nccl_comm comm, cuda_stream stream);
    nccl_result (*recv)(void *recv, size_t count, int dtype, int peer, nccl_comm comm, cuda_stream stream);
    nccl_result (*group_start)(void);
    nccl_result (*group_end)(void);
    /* Not in every version: NULL where absent. */
    nccl_result (*split)(nccl_comm comm, int color, int key, nccl_comm *part, nccl_config *config);
    nccl_result (*mem_alloc)(void **memory, size_t bytes);
    nccl_result (*mem_free)(void *memory);
} nccl_library;

/* Whether both can be loaded and have what is needed; closed again if nothing else uses them. */
dt_status nccl_available(char *text, size_t text_bytes);
/* Loads both once for the process, for good: NCCL's threads and kernels may outlive every communicator. */
dt_status nccl_load(const nccl_library **nccl, const cuda_driver **cuda, char *text, size_t text_bytes);

#endif
