#include "mpich_abi.h"

#define ADAPTER mpi_adapter_mpich
#include "adapter_body.h"
