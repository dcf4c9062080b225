/* The MPI calls that the transport makes, whichever ABI is behind them. Handles are numbers here; codes are MPI's own, 0 is success. */
#ifndef DT_MPI_ADAPTER_H
#define DT_MPI_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t mpi_handle;

/* What a completed receive or a probe says. */
typedef struct mpi_arrival {
    int32_t source, tag;
    int64_t bytes;
} mpi_arrival;

enum { MPI_LEVEL_SERIALIZED = 2, MPI_LEVEL_MULTIPLE = 3 }; /* thread levels: the same numbers in both ABIs */

typedef struct mpi_adapter {
    const char *abi;
    /* Finds every function and constant; false: missing has the first name that is not there. */
    bool (*bind)(void *library, const char **missing);
    int (*initialised)(bool *initialised, bool *finalised);
    int (*initialise)(int *level);
    int (*thread_level)(int *level);
    int (*finalise)(void);
    void (*version)(char *text, size_t bytes);
    void (*error_text)(int code, char *text, size_t bytes);
    bool (*is_truncation)(int code);

    mpi_handle (*world)(void);
    int (*rank_of)(mpi_handle comm, int *rank, int *size);
    int (*duplicate)(mpi_handle comm, mpi_handle *copy); /* the copy returns errors instead of ending the process */
    int (*divide)(mpi_handle comm, int color, int key, mpi_handle *part); /* color < 0: none, *part is 0 */
    int (*release)(mpi_handle *comm);

    int (*send)(mpi_handle comm, const void *from, int bytes, int peer, int tag, mpi_handle *request);
    int (*receive)(mpi_handle comm, void *to, int bytes, int peer, int tag, mpi_handle *request); /* tag < 0: any */
    int (*test)(mpi_handle *request, bool *done, mpi_arrival *arrival);
    int (*cancel)(mpi_handle *request);
    int (*probe)(mpi_handle comm, bool *found, mpi_arrival *arrival); /* from anybody, any tag */

    int (*barrier)(mpi_handle comm, mpi_handle *request);
    int (*broadcast)(mpi_handle comm, void *data, int bytes, int root, mpi_handle *request);
    /* from NULL: in place */
    int (*all_gather)(mpi_handle comm, const void *from, void *to, int bytes, mpi_handle *request);
    int (*all_to_all)(mpi_handle comm, const void *from, void *to, int bytes, mpi_handle *request);
} mpi_adapter;

extern const mpi_adapter mpi_adapter_openmpi, mpi_adapter_mpich;

/* Around every call where the library gave MPI_THREAD_SERIALIZED only. */
void mpi_enter(void);
void mpi_leave(void);

#endif
