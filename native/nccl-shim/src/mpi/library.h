/* The process's one MPI library: found, loaded and initialised once. */
#ifndef DT_MPI_LIBRARY_H
#define DT_MPI_LIBRARY_H

#include "../comm.h"
#include "adapter.h"

/* Whether a library of the launcher's kind is there; nothing stays loaded. */
dt_status mpi_available(char *text, size_t bytes);
/* Loads and initialises; the same answer for the whole life of the process. */
dt_status mpi_load(const mpi_adapter **adapter, char *text, size_t bytes);
/* After a failure MPI_Finalize could wait for ever: the process's end leaves it out then. */
void mpi_spoil(void);
/* Counts communicators: +1, -1. */
void mpi_count(int change);

#endif
