#include "openmpi_abi.h"

#define ADAPTER mpi_adapter_openmpi
#include "adapter_body.h"
