/* One rank on cuda:0 with the machine's own NCCL and driver (NCCL takes one rank a GPU). Ends with 77, which CTest calls skipped, without them. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "ranks.h"
#include "values.h"

enum { COUNT = 10007 };

static int (*s_init)(unsigned int), (*s_count)(int *), (*s_retain)(void **, int), (*s_release)(int), (*s_set)(void *);
static int (*s_from_host)(unsigned long long, const void *, size_t, void *), (*s_to_host)(void *, unsigned long long, size_t, void *);
static int (*s_stream)(void **, unsigned int), (*s_drop)(void *);

static bool find_driver(void) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    int count = 0;
    if (!driver) return false;
    s_init = dlsym(driver, "cuInit");
    s_count = dlsym(driver, "cuDeviceGetCount");
    s_retain = dlsym(driver, "cuDevicePrimaryCtxRetain");
    s_release = dlsym(driver, "cuDevicePrimaryCtxRelease_v2");
    s_set = dlsym(driver, "cuCtxSetCurrent");
    s_from_host = dlsym(driver, "cuMemcpyHtoDAsync_v2");
    s_to_host = dlsym(driver, "cuMemcpyDtoHAsync_v2");
    s_stream = dlsym(driver, "cuStreamCreate");
    s_drop = dlsym(driver, "cuStreamDestroy_v2");
    return s_init && s_init(0) == 0 && s_count(&count) == 0 && count > 0;
}

static void check_verbs(dt_comm *comm, char *send, char *recv, void *stream) {
    static char host[COUNT * 8], back[COUNT * 8];
    for (int32_t dtype = DT_F32; dtype <= DT_BF16; dtype++)
        for (int32_t verb = 0; verb < 6; verb++)
            for (int32_t in_place = 0; in_place < 2; in_place++) {
                size_t bytes = (size_t)(COUNT * dt_dtype_bytes(dtype));
                char *to = in_place ? send : recv;
                for (int64_t i = 0; i < COUNT; i++) put_value(host, i, dtype, input_value(DT_SUM, dtype, 0, 1, i));
                memset(back, 0, sizeof back);
                CHECK(s_from_host((unsigned long long)(uintptr_t)send, host, bytes, stream) == 0, "no copy to the device, %zu bytes", bytes);
                switch (verb) {
                case 0: EXPECT(comm, dt_all_reduce(comm, send, to, COUNT, dtype, dtype % 5), DT_OK); break;
                case 1: EXPECT(comm, dt_reduce_scatter(comm, send, to, COUNT, dtype, DT_SUM), DT_OK); break;
                case 2: EXPECT(comm, dt_all_gather(comm, send, to, COUNT, dtype), DT_OK); break;
                case 3: EXPECT(comm, dt_broadcast(comm, send, to, COUNT, dtype, 0), DT_OK); break;
                case 4: EXPECT(comm, dt_reduce(comm, send, to, COUNT, dtype, DT_MAX, 0), DT_OK); break;
                default: EXPECT(comm, dt_all_to_all(comm, send, to, COUNT, dtype), DT_OK); break;
                }
                EXPECT(comm, dt_synchronize(comm), DT_OK);
                CHECK(s_to_host(back, (unsigned long long)(uintptr_t)to, bytes, stream) == 0, "no copy from the device, %zu bytes", bytes);
                EXPECT(comm, dt_synchronize(comm), DT_OK);
                CHECK(memcmp(host, back, bytes) == 0, "type %d, verb %d, in place %d: one rank's result is not its input", dtype, verb, in_place);
            }
}

int main(void) {
    char text[1024] = "", id[DT_UNIQUE_ID_BYTES];
    void *context = NULL, *stream = NULL, *send = NULL, *recv = NULL;
    dt_comm *comm, *part;
    if (!find_driver()) {
        printf("skipped: no libcuda.so.1, or no device\n");
        return 77;
    }
    if (dt_transport_available(DT_TRANSPORT_NCCL, text, sizeof text) != DT_OK) {
        printf("skipped: %s\n", text);
        return 77;
    }
    CHECK(s_retain(&context, 0) == 0 && s_set(context) == 0 && s_stream(&stream, 1) == 0, "no stream on device %d", 0);
    CHECK(dt_nccl_unique_id(id, sizeof id, text, sizeof text) == DT_OK, "%s", text);
    dt_options options = {.struct_bytes = sizeof options, .transport = DT_TRANSPORT_NCCL, .world_size = 1, .timeout_ms = 60000, .flags = DT_CHECK_CALLS,
                          .unique_id = id, .unique_id_bytes = sizeof id};
    CHECK(dt_comm_init(&options, &comm, text, sizeof text) == DT_OK, "%s", text);
    EXPECT(comm, dt_set_stream(comm, stream), DT_OK);
    EXPECT(comm, dt_alloc(comm, COUNT * 8, 0, &send), DT_OK);
    EXPECT(comm, dt_alloc(comm, COUNT * 8, 0, &recv), DT_OK);
    check_verbs(comm, send, recv, stream);
    EXPECT(comm, dt_barrier(comm), DT_OK);
    EXPECT(comm, dt_synchronize(comm), DT_OK);
    dt_status status = dt_comm_split(comm, 3, 0, &part);
    CHECK(status == DT_OK || status == DT_UNSUPPORTED, "dt_comm_split gave %d", status);
    if (status == DT_OK) {
        EXPECT(part, dt_all_reduce(part, send, recv, COUNT, DT_F32, DT_SUM), DT_OK);
        EXPECT(part, dt_synchronize(part), DT_OK);
        EXPECT(part, dt_comm_destroy(part), DT_OK);
    }
    EXPECT(comm, dt_free(comm, send), DT_OK);
    EXPECT(comm, dt_abort(comm, "the end of the test"), DT_OK);
    EXPECT(comm, dt_synchronize(comm), DT_ABORTED);
    EXPECT(comm, dt_comm_destroy(comm), DT_OK);
    CHECK(s_drop(stream) == 0 && s_set(NULL) == 0 && s_release(0) == 0, "the device is not given %s", "back");
    return 0;
}
