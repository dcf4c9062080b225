/* Without NCCL, with an old one, with something else of its name: a status and a text, and the rest of the library works.
 * usage: nccl_library_test CUDA OLD EMPTY   -- files of stand-ins */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ranks.h"

static void expect(const char *name, const char *file, const char *first, const char *second) {
    char text[1024] = "", id[DT_UNIQUE_ID_BYTES];
    setenv("DISTTRAIN_NCCL_LIBRARY", file, 1);
    dt_status status = dt_transport_available(DT_TRANSPORT_NCCL, text, sizeof text);
    printf("  %s: %s\n", name, text);
    CHECK(status == DT_UNSUPPORTED && strstr(text, first) && strstr(text, second), "%d: %s", status, text);
    text[0] = 0;
    status = dt_nccl_unique_id(id, sizeof id, text, sizeof text);
    CHECK(status == DT_UNSUPPORTED && strstr(text, first), "%d: %s", status, text);
    dt_comm *comm = NULL;
    dt_options options = {.struct_bytes = sizeof options, .transport = DT_TRANSPORT_NCCL, .world_size = 1, .timeout_ms = 100, .unique_id = id, .unique_id_bytes = sizeof id};
    status = dt_comm_init(&options, &comm, text, sizeof text);
    CHECK(status == DT_UNSUPPORTED && !comm && strstr(text, first), "%d: %s", status, text);
}

int main(int argc, char **argv) {
    CHECK(argc == 4, "%d arguments", argc);
    int before = open_files();
    if (!dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD)) {
        void *driver = dlopen("libcuda.so.1", RTLD_NOW);
        if (driver)
            dlclose(driver);
        else
            expect("no driver", "", "libcuda.so.1", "cannot be loaded");
    }
    CHECK(dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL), "%s", dlerror()); /* now there is one of that name */
    expect("no such file", "/nowhere/libnccl.so.2", "/nowhere/libnccl.so.2 cannot be loaded", "DISTTRAIN_NCCL_LIBRARY");
    expect("an old version", argv[2], argv[2], "is version 2.13.4 (ncclGetVersion gave 0); needed is 2.14");
    expect("a missing symbol", argv[3], argv[3], "has no ncclGetUniqueId");
    CHECK(open_files() == before, "%d files are left open", open_files() - before);
    return 0;
}
