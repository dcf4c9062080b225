/* Which MPI: the launcher's environment decides, and only that library is ever loaded. */
#include "library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER, serial_lock = PTHREAD_MUTEX_INITIALIZER;
static bool serialised;
static _Atomic bool spoiled;
static _Atomic int communicators;
static const mpi_adapter *loaded;

void mpi_enter(void) {
    if (__builtin_expect(serialised, 0)) pthread_mutex_lock(&serial_lock);
}

void mpi_leave(void) {
    if (__builtin_expect(serialised, 0)) pthread_mutex_unlock(&serial_lock);
}

void mpi_spoil(void) { atomic_store(&spoiled, true); }

void mpi_count(int change) { atomic_fetch_add(&communicators, change); }

typedef struct candidates {
    const mpi_adapter *adapter; /* NULL: by the library's symbols */
    const char *because;
    const char *names[5];
} candidates;

static const char *first_set(const char *const *variables) {
    for (; *variables; variables++)
        if (getenv(*variables)) return *variables;
    return NULL;
}

/* The innermost launcher first: Open MPI's own variables, then those of MPICH's process manager, then PMIx, which is mostly Open MPI's. */
static bool choose(candidates *chosen, char *text, size_t bytes) {
    static const char *const openmpi[] = {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", NULL};
    static const char *const mpich[] = {"PMI_RANK", "PMI_SIZE", "PMI_FD", "HYDI_CONTROL_FD", NULL};
    static const char *const pmix[] = {"PMIX_RANK", "PMIX_NAMESPACE", NULL};
    static const candidates of_openmpi = {&mpi_adapter_openmpi, NULL, {"libmpi.so.40", "libmpi.so.80", "libmpi.so"}};
    static const candidates of_mpich = {&mpi_adapter_mpich, NULL, {"libmpi.so.12", "libmpich.so.12", "libmpi.so", "libmpich.so"}};
    const char *path = getenv("DISTTRAIN_MPI_LIBRARY"), *variable;
    if (path && *path) {
        *chosen = (candidates){NULL, "DISTTRAIN_MPI_LIBRARY", {path}};
        return true;
    }
    if ((variable = first_set(openmpi)))
        *chosen = of_openmpi;
    else if ((variable = first_set(mpich)))
        *chosen = of_mpich;
    else if ((variable = first_set(pmix)))
        *chosen = of_openmpi;
    chosen->because = variable;
    if (variable) return true;
    snprintf(text, bytes,
             "mpi: this process was not started by an MPI launcher (none of OMPI_COMM_WORLD_RANK, PMIX_RANK, PMI_RANK is set). Start it with "
             "\"mpirun -n RANKS program\", \"mpiexec -n RANKS program\" or \"srun --mpi=pmix -n RANKS program\"");
    return false;
}

/* By symbols alone: Open MPI exports its objects; who has none of them and says not to be Open MPI keeps MPICH's ABI. */
static const mpi_adapter *abi_of(void *library) {
    if (!dlsym(library, "MPI_Init_thread")) return NULL;
    if (dlsym(library, "ompi_mpi_comm_world")) return &mpi_adapter_openmpi;
    if (dlsym(library, "MPI_Abi_get_version") && !dlsym(library, "MPIR_Err_create_code")) return NULL; /* the standard ABI of MPI 5: other numbers */
    return &mpi_adapter_mpich;
}

static void note(char *text, size_t bytes, const char *format, const char *first, const char *second) {
    size_t used = strlen(text);
    if (used < bytes) snprintf(text + used, bytes - used, format, first, second);
}

/* A library of the wanted kind, or NULL with what was tried. */
static void *open_library(const candidates *from, int flags, const mpi_adapter **adapter, char *text, size_t bytes) {
    snprintf(text, bytes, "mpi: no library for the launcher (%s): tried", from->because);
    for (const char *const *name = from->names; *name; name++) {
        void *library = dlopen(*name, flags);
        if (!library) {
            const char *why = dlerror();
            note(text, bytes, " %s (%.200s);", *name, why ? why : "unknown");
            continue;
        }
        const char *missing = "MPI_Init_thread";
        *adapter = abi_of(library);
        if (*adapter && (!from->adapter || *adapter == from->adapter) && (*adapter)->bind(library, &missing)) return library;
        note(text, bytes, " %s (another kind of MPI, or it lacks %s);", *name, missing);
        dlclose(library);
    }
    note(text, bytes, " install %s, or set DISTTRAIN_MPI_LIBRARY to the library's path%s",
         from->adapter == &mpi_adapter_mpich ? "libmpich12" : "libopenmpi3", "");
    return NULL;
}

dt_status mpi_available(char *text, size_t bytes) {
    candidates from = {0};
    const mpi_adapter *adapter;
    pthread_mutex_lock(&load_lock);
    dt_status status = DT_OK;
    if (!loaded && !dlsym(RTLD_DEFAULT, "MPI_Init_thread")) {
        void *library = choose(&from, text, bytes) ? open_library(&from, RTLD_LAZY | RTLD_LOCAL, &adapter, text, bytes) : NULL;
        status = library ? DT_OK : DT_UNSUPPORTED;
        if (library) dlclose(library);
    }
    pthread_mutex_unlock(&load_lock);
    return status;
}

/* At the process's end, if this library began MPI. After a failure requests are left over, for which MPI_Finalize could wait without end:
 * then it is left out, and the launcher sees an end without it and stops the other ranks. So too if the process fails while a communicator is in
 * use: the others wait in it, and MPI_Finalize would wait for them. */
static void finalise_at_exit(int status) {
    bool began = false, ended = false;
    if ((status != 0 && atomic_load(&communicators) > 0) || atomic_load(&spoiled) || loaded->initialised(&began, &ended) != 0 || !began || ended) return;
    loaded->finalise();
}

#ifdef DT_HAVE_ON_EXIT
static void ends(int status, void *unused) {
    (void)unused;
    finalise_at_exit(status);
}
static void at_exit(void) { on_exit(ends, NULL); }
#else
/* The exit code is not known (musl): the end counts as a failure, so that a process that leaves a communicator in use is stopped, never hangs. */
static void ends(void) { finalise_at_exit(EXIT_FAILURE); }
static void at_exit(void) { atexit(ends); }
#endif

static dt_status initialise(const mpi_adapter *adapter, char *text, size_t bytes) {
    bool began = false, ended = false;
    int level = 0, code = adapter->initialised(&began, &ended);
    if (code == 0 && ended) {
        snprintf(text, bytes, "mpi: MPI_Finalize has been called in this process; MPI cannot begin again");
        return DT_UNSUPPORTED;
    }
    if (code == 0) code = began ? adapter->thread_level(&level) : adapter->initialise(&level);
    if (code != 0) {
        adapter->error_text(code, text, bytes);
        return DT_SYSTEM_ERROR;
    }
    if (level < MPI_LEVEL_SERIALIZED) {
        snprintf(text, bytes, "mpi: the library gives thread level %d; needed is MPI_THREAD_SERIALIZED (%d) or MPI_THREAD_MULTIPLE", level,
                 MPI_LEVEL_SERIALIZED);
        return DT_UNSUPPORTED;
    }
    serialised = level < MPI_LEVEL_MULTIPLE;
    loaded = adapter;
    if (!began) at_exit();
    return DT_OK;
}

dt_status mpi_load(const mpi_adapter **adapter, char *text, size_t bytes) {
    pthread_mutex_lock(&load_lock);
    dt_status status = DT_OK;
    if (!loaded) {
        candidates from = {0};
        const mpi_adapter *found = NULL;
        /* A program that is linked to an MPI, or loaded one: that one it is, never a second. */
        void *library = dlsym(RTLD_DEFAULT, "MPI_Init_thread") ? dlopen(NULL, RTLD_NOW) : NULL;
        const char *missing = "MPI_Init_thread";
        if (library)
            found = abi_of(library), library = found && found->bind(library, &missing) ? library : NULL;
        else if (choose(&from, text, bytes))
            library = open_library(&from, RTLD_NOW | RTLD_GLOBAL, &found, text, bytes);
        if (!library && !*text) snprintf(text, bytes, "mpi: the MPI in this process is of an unknown kind, or lacks %s", missing);
        status = library ? initialise(found, text, bytes) : DT_UNSUPPORTED;
    }
    *adapter = loaded;
    pthread_mutex_unlock(&load_lock);
    return status;
}
