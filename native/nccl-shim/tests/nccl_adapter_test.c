/* ILGPU's view of the CUDA adapter: a handle whose contexts are the primary ones and whose every other function is the driver's.
 * usage: nccl_adapter_test ADAPTER */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "fake_nccl/fake.h"
#include "ranks.h"

static void *s_adapter;

static void *find(const char *name) {
    void *function = dlsym(s_adapter, name);
    CHECK(function, "%s is not found through the adapter: %s", name, dlerror());
    return function;
}

int main(int argc, char **argv) {
    CHECK(argc == 2, "%d arguments", argc);
    CHECK(dt_abi_version() == DT_ABI_VERSION, "version %d", dt_abi_version());
    s_adapter = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    CHECK(s_adapter, "%s", dlerror());
    int (*create)(void **, unsigned int, int) = find("cuCtxCreate_v2");
    int (*destroy)(void *) = find("cuCtxDestroy_v2");
    int (*alloc)(unsigned long long *, size_t) = find("cuMemAlloc_v2");
    int (*release)(unsigned long long) = find("cuMemFree_v2");
    int (*current)(void **) = find("cuCtxGetCurrent");
    int (*create_v4)(void **, void *, unsigned int, int) = find("cuCtxCreate_v4");
    void *first = NULL, *second = NULL, *other = NULL, *found = NULL, *own = NULL;
    unsigned long long memory;
    int before = fake_left();
    CHECK(find("cuMemAlloc_v2") == dlsym(RTLD_DEFAULT, "cuMemAlloc_v2"), "cuMemAlloc_v2 is %s", "not the driver's");

    CHECK(alloc(&memory, 64) == 201, "memory without a %s", "context");
    CHECK(create(&first, 8, 2) == 0 && first, "no %s", "context");
    CHECK(fake_count("cuDevicePrimaryCtxSetFlags_v2(device 2, 8)") == 1 && fake_count("cuDevicePrimaryCtxRetain(device 2)") == 1 && fake_count("cuCtxCreate") == 0,
          "%d contexts created", fake_count("cuCtxCreate"));
    CHECK(current(&found) == 0 && found == first, "the context is not %s", "current");
    CHECK(alloc(&memory, 64) == 0 && release(memory) == 0, "no %s", "memory");
    CHECK(create(&second, 8, 2) == 0 && second == first, "another context for the same %s", "device");
    CHECK(create_v4(&other, NULL, 0, 3) == 0 && other != first, "no context of another %s", "device");
    CHECK(create(&own, 8, 99) != 0 && !own && create(NULL, 0, 0) == 1 && create_v4(&own, &own, 0, 0) == 1, "bad arguments are %s", "taken");

    CHECK(destroy(first) == 0 && destroy(second) == 0, "a context is not %s", "given back");
    CHECK(fake_count("cuDevicePrimaryCtxRelease_v2(device 2)") == 2 && fake_count("cuCtxDestroy") == 0, "%d given back", fake_count("Release"));
    CHECK(current(&found) == 0 && found == other, "current is %p, not %p of another device", found, other);
    CHECK(destroy(other) == 0 && current(&found) == 0 && !found, "a given back context is %s", "current");
    CHECK(fake_left() == before, "%d are left", fake_left() - before);

    /* What the driver made itself goes back to the driver. */
    int (*driver_create)(void **, unsigned int, int) = dlsym(RTLD_DEFAULT, "cuCtxCreate_v2");
    CHECK(driver_create && driver_create != create && driver_create(&own, 0, 1) == 0 && destroy(own) == 0 && fake_count("cuCtxDestroy_v2(own)") == 1, "%d destroyed",
          fake_count("cuCtxDestroy"));
    CHECK(destroy(NULL) == 1, "null is %s", "destroyed");
    CHECK(dlclose(s_adapter) == 0, "%s", dlerror());
    return 0;
}
