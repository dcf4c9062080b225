/* ILGPU makes a CUDA context of its own, NCCL works in each device's primary context, and memory of one is none of the other's. So where
 * ILGPU looks for the driver it finds this library: it needs libcuda.so.1, through which every other function is found, and itself has those
 * alone that make and destroy contexts. They hand out the primary context and give it back. */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

#define EXPORT __attribute__((visibility("default")))

typedef struct cuda_context *cuda_context;
typedef int cuda_result;
enum { CUDA_SUCCESS = 0, CUDA_INVALID_VALUE = 1, CUDA_OUT_OF_MEMORY = 2, CUDA_NOT_FOUND = 500 };

/* A primary context handed out; several times at once, if the same device was asked for again. */
enum { DEVICES_MAX = 256 };
typedef struct lent {
    cuda_context context;
    int device, count;
} lent;

static pthread_mutex_t s_lock = PTHREAD_MUTEX_INITIALIZER; /* guards s_lent */
static lent s_lent[DEVICES_MAX];

/* The driver is loaded already: this library needs it. It stays so. */
static void *driver(const char *name, const char *older) {
    void *library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (!library) return NULL;
    void *function = dlsym(library, name);
    if (!function && older) function = dlsym(library, older);
    dlclose(library); /* a count more, not the library */
    return function;
}

static lent *find(cuda_context context) {
    for (int i = 0; i < DEVICES_MAX; i++)
        if (s_lent[i].context == context) return &s_lent[i];
    return NULL;
}

static cuda_result release(int device) {
    cuda_result (*release_primary)(int) = driver("cuDevicePrimaryCtxRelease_v2", "cuDevicePrimaryCtxRelease");
    return release_primary ? release_primary(device) : CUDA_NOT_FOUND;
}

/* Current on the calling thread afterwards, as a created one is. */
static cuda_result lend(cuda_context *context, unsigned int flags, int device) {
    cuda_result (*set_flags)(int, unsigned int) = driver("cuDevicePrimaryCtxSetFlags_v2", "cuDevicePrimaryCtxSetFlags");
    cuda_result (*retain)(cuda_context *, int) = driver("cuDevicePrimaryCtxRetain", NULL);
    cuda_result (*set_current)(cuda_context) = driver("cuCtxSetCurrent", NULL);
    if (!retain || !set_current) return CUDA_NOT_FOUND;
    if (set_flags) set_flags(device, flags); /* refused by older drivers while the context is in use: then it stays as its first user made it */
    cuda_result result = retain(context, device);
    if (result != CUDA_SUCCESS) return result;
    lent *to = find(*context);
    if (!to) to = find(NULL);
    result = to ? set_current(*context) : CUDA_OUT_OF_MEMORY;
    if (result != CUDA_SUCCESS) {
        release(device);
        *context = NULL;
        return result;
    }
    *to = (lent){*context, device, to->count + 1};
    return CUDA_SUCCESS;
}

/* The exported ones call static ones: a name of the driver's might be found in the driver. */
static cuda_result create(cuda_context *context, unsigned int flags, int device) {
    if (!context) return CUDA_INVALID_VALUE;
    *context = NULL;
    pthread_mutex_lock(&s_lock);
    cuda_result result = lend(context, flags, device);
    pthread_mutex_unlock(&s_lock);
    return result;
}

EXPORT cuda_result cuCtxCreate(cuda_context *context, unsigned int flags, int device) { return create(context, flags, device); }
EXPORT cuda_result cuCtxCreate_v2(cuda_context *context, unsigned int flags, int device) { return create(context, flags, device); }

/* What else the later two can ask for (shares of a device) a primary context cannot give. */
EXPORT cuda_result cuCtxCreate_v3(cuda_context *context, void *shares, int share_count, unsigned int flags, int device) {
    return shares || share_count ? CUDA_INVALID_VALUE : create(context, flags, device);
}

EXPORT cuda_result cuCtxCreate_v4(cuda_context *context, void *parameters, unsigned int flags, int device) {
    return parameters ? CUDA_INVALID_VALUE : create(context, flags, device);
}

static void leave_current(cuda_context context) {
    cuda_result (*get_current)(cuda_context *) = driver("cuCtxGetCurrent", NULL);
    cuda_result (*set_current)(cuda_context) = driver("cuCtxSetCurrent", NULL);
    cuda_context current = NULL;
    if (get_current && set_current && get_current(&current) == CUDA_SUCCESS && current == context) set_current(NULL);
}

static cuda_result give_back(cuda_context context) {
    cuda_result (*destroy)(cuda_context) = driver("cuCtxDestroy_v2", "cuCtxDestroy");
    if (!context) return CUDA_INVALID_VALUE;
    pthread_mutex_lock(&s_lock);
    lent *of = find(context);
    int device = of ? of->device : -1;
    if (of && --of->count == 0) {
        leave_current(context);
        *of = (lent){NULL, 0, 0};
    }
    pthread_mutex_unlock(&s_lock);
    if (of) return release(device);
    return destroy ? destroy(context) : CUDA_NOT_FOUND; /* not one of ours */
}

EXPORT cuda_result cuCtxDestroy(cuda_context context) { return give_back(context); }
EXPORT cuda_result cuCtxDestroy_v2(cuda_context context) { return give_back(context); }
