#include "library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nccl.h"

#define NCCL_FILE "libnccl.so.2"
#define NCCL_VARIABLE "DISTTRAIN_NCCL_LIBRARY"
#define CUDA_FILE "libcuda.so.1"

typedef struct symbol {
    const char *name, *other; /* other: an older name of the same function */
    size_t field;             /* offset of its pointer */
    bool optional;
} symbol;

#define NEEDED(name, type, field) {name, NULL, offsetof(type, field), false}
#define OPTIONAL(name, type, field) {name, NULL, offsetof(type, field), true}

static const symbol nccl_symbols[] = {
    NEEDED("ncclGetVersion", nccl_library, get_version),
    NEEDED("ncclGetUniqueId", nccl_library, get_unique_id),
    NEEDED("ncclCommInitRankConfig", nccl_library, init),
    NEEDED("ncclCommFinalize", nccl_library, finalize),
    NEEDED("ncclCommDestroy", nccl_library, destroy),
    NEEDED("ncclCommAbort", nccl_library, abort),
    NEEDED("ncclCommGetAsyncError", nccl_library, async_error),
    NEEDED("ncclGetErrorString", nccl_library, error_string),
    NEEDED("ncclGetLastError", nccl_library, last_error),
    NEEDED("ncclAllReduce", nccl_library, all_reduce),
    NEEDED("ncclReduceScatter", nccl_library, reduce_scatter),
    NEEDED("ncclAllGather", nccl_library, all_gather),
    NEEDED("ncclBroadcast", nccl_library, broadcast),
    NEEDED("ncclReduce", nccl_library, reduce),
    NEEDED("ncclSend", nccl_library, send),
    NEEDED("ncclRecv", nccl_library, recv),
    NEEDED("ncclGroupStart", nccl_library, group_start),
    NEEDED("ncclGroupEnd", nccl_library, group_end),
    OPTIONAL("ncclCommSplit", nccl_library, split),
    OPTIONAL("ncclMemAlloc", nccl_library, mem_alloc),
    OPTIONAL("ncclMemFree", nccl_library, mem_free),
};

static const symbol cuda_symbols[] = {
    NEEDED("cuInit", cuda_driver, init),
    NEEDED("cuDeviceGetCount", cuda_driver, device_get_count),
    NEEDED("cuDeviceGet", cuda_driver, device_get),
    NEEDED("cuDevicePrimaryCtxRetain", cuda_driver, retain_primary),
    {"cuDevicePrimaryCtxRelease_v2", "cuDevicePrimaryCtxRelease", offsetof(cuda_driver, release_primary), false},
    NEEDED("cuCtxPushCurrent_v2", cuda_driver, push_context),
    NEEDED("cuCtxPopCurrent_v2", cuda_driver, pop_context),
    NEEDED("cuMemAlloc_v2", cuda_driver, mem_alloc),
    NEEDED("cuMemFree_v2", cuda_driver, mem_free),
    NEEDED("cuMemsetD8Async", cuda_driver, memset_d8_async),
    NEEDED("cuMemcpyHtoDAsync_v2", cuda_driver, copy_from_host),
    NEEDED("cuMemcpyDtoHAsync_v2", cuda_driver, copy_to_host),
    NEEDED("cuMemcpyDtoDAsync_v2", cuda_driver, copy_on_device),
    NEEDED("cuStreamCreate", cuda_driver, stream_create),
    NEEDED("cuStreamDestroy_v2", cuda_driver, stream_destroy),
    NEEDED("cuStreamQuery", cuda_driver, stream_query),
    NEEDED("cuGetErrorName", cuda_driver, error_name),
    OPTIONAL("cuMemAllocAsync", cuda_driver, mem_alloc_async),
    OPTIONAL("cuMemFreeAsync", cuda_driver, mem_free_async),
};

typedef struct loaded {
    void *nccl_handle, *cuda_handle;
    nccl_library nccl;
    cuda_driver cuda;
} loaded;

static pthread_mutex_t s_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the next two */
static loaded s_loaded;
static bool s_is_loaded;

static void *open_file(const char *file, char *text, size_t text_bytes) {
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!handle) snprintf(text, text_bytes, "nccl: %.300s cannot be loaded: %.500s", file, dlerror());
    return handle;
}

static bool find(void *handle, const char *file, const symbol *symbols, size_t count, void *table, char *text, size_t text_bytes) {
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(handle, symbols[i].name);
        if (!function && symbols[i].other) function = dlsym(handle, symbols[i].other);
        if (!function && !symbols[i].optional) {
            snprintf(text, text_bytes, "nccl: %.500s has no %s: too old, or another library of that name", file, symbols[i].name);
            return false;
        }
        memcpy((char *)table + symbols[i].field, &function, sizeof function);
    }
    return true;
}

static bool version_suits(nccl_library *nccl, const char *file, char *text, size_t text_bytes) {
    nccl_result result = nccl->get_version(&nccl->version);
    if (result == NCCL_SUCCESS && nccl->version >= NCCL_VERSION_MIN) return true;
    snprintf(text, text_bytes, "nccl: %.500s is version %d.%d.%d (ncclGetVersion gave %d); needed is 2.14 or later, for communicators that do not block", file,
             nccl->version / 10000, nccl->version / 100 % 100, nccl->version % 100, result);
    return false;
}

static void unload(loaded *it) {
    if (it->nccl_handle) dlclose(it->nccl_handle);
    if (it->cuda_handle) dlclose(it->cuda_handle);
    *it = (loaded){.nccl_handle = NULL};
}

static bool load(loaded *it, char *text, size_t text_bytes) {
    const char *named = secure_getenv(NCCL_VARIABLE), *file = named && *named ? named : NCCL_FILE;
    *it = (loaded){.cuda_handle = open_file(CUDA_FILE, text, text_bytes)};
    if (!it->cuda_handle) return false;
    it->nccl_handle = open_file(file, text, text_bytes);
    if (!it->nccl_handle) {
        size_t used = strlen(text);
        snprintf(text + used, text_bytes - used, " (%s names another file)", NCCL_VARIABLE);
    } else if (find(it->cuda_handle, CUDA_FILE, cuda_symbols, sizeof cuda_symbols / sizeof *cuda_symbols, &it->cuda, text, text_bytes) &&
               find(it->nccl_handle, file, nccl_symbols, 1, &it->nccl, text, text_bytes) && version_suits(&it->nccl, file, text, text_bytes) &&
               find(it->nccl_handle, file, nccl_symbols, sizeof nccl_symbols / sizeof *nccl_symbols, &it->nccl, text, text_bytes)) {
        return true;
    }
    unload(it);
    return false;
}

dt_status nccl_available(char *text, size_t text_bytes) {
    loaded it;
    bool found;
    pthread_mutex_lock(&s_lock);
    found = s_is_loaded;
    if (!found && (found = load(&it, text, text_bytes))) unload(&it);
    pthread_mutex_unlock(&s_lock);
    return found ? DT_OK : DT_UNSUPPORTED;
}

dt_status nccl_load(const nccl_library **nccl, const cuda_driver **cuda, char *text, size_t text_bytes) {
    pthread_mutex_lock(&s_lock);
    if (!s_is_loaded) s_is_loaded = load(&s_loaded, text, text_bytes);
    bool found = s_is_loaded;
    pthread_mutex_unlock(&s_lock);
    *nccl = &s_loaded.nccl;
    *cuda = &s_loaded.cuda;
    return found ? DT_OK : DT_UNSUPPORTED;
}

dt_status dt_nccl_unique_id(void *id, int64_t id_bytes, char *error, int64_t error_bytes) {
    char text[DT_TEXT_BYTES] = "";
    const nccl_library *nccl;
    const cuda_driver *cuda;
    nccl_unique_id made;
    if (error && error_bytes > 0) *error = 0;
    dt_status status = DT_INVALID_ARGUMENT;
    if (!id || id_bytes != (int64_t)sizeof made)
        snprintf(text, sizeof text, "dt_nccl_unique_id: id is null or not %zu bytes but %lld", sizeof made, (long long)id_bytes);
    else
        status = nccl_load(&nccl, &cuda, text, sizeof text);
    if (status == DT_OK) {
        nccl_result result = nccl->get_unique_id(&made);
        status = nccl_status(result);
        if (status == DT_OK)
            memcpy(id, &made, sizeof made);
        else
            snprintf(text, sizeof text, "ncclGetUniqueId: %s: %.700s", nccl->error_string(result), nccl->last_error(NULL));
    }
    if (status != DT_OK && error && error_bytes > 0) snprintf(error, (size_t)error_bytes, "%s", text);
    return status;
}
