#!/usr/bin/env bash
# Installs the engines whose tests are here (Debian, root), as far as they are missing: about 20 MB. No service is started.
# usage: engines-install.sh [--list]      --list: only prints the missing packages
set -uo pipefail
PATH=$PATH:/usr/sbin
missing=()
need() { # package, program that shows it is there
    command -v "$2" >/dev/null || missing+=("$1")
}
need openmpi-bin mpirun.openmpi
need mpich mpiexec.hydra
need munge munged
need slurmctld slurmctld
need slurmd slurmd
need slurm-client srun
need shellcheck shellcheck
if [[ ${1:-} == --list ]]; then
    echo "${missing[*]}"
    exit
fi
((${#missing[@]})) || exit 0

# A packaged service would run on after the tests: policy-rc.d forbids its start while it is installed.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && trap 'rm -f $policy' EXIT
fi
apt-get update -qq -o DPkg::Lock::Timeout=120 &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "${missing[@]}"
