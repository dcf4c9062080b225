#!/usr/bin/env bash
# Runs a test under an MPI engine. usage: mpi_test.sh openmpi|mpich|alone RANKS PROGRAM [ARGS]; ends with 77 where the engine is absent.
# The failures' program runs once for each scenario: there the ranks' lines count and not the launcher's code, because after a failure they
# leave MPI_Finalize out, of which launchers complain.
set -uo pipefail
engine=$1 ranks=$2 program=$3
shift 3
for variable in $(compgen -e | grep -E '^(OMPI_|PMIX_|PMI_|HYDI_|DISTTRAIN_MPI)'); do unset "$variable"; done
# MPI's libraries leave memory behind and unload their parts, so that their leaks have no name which could be left out: only addresses and
# undefined behaviour are looked at here.
export ASAN_OPTIONS=detect_leaks=0
[[ ${1:-} == checked ]] && { export DT_TESTS_CHECKED=1; shift; }

find_launcher() { # of this engine, whatever the others' names point to
    local candidate
    for candidate in "$@"; do
        command -v "$candidate" >/dev/null || continue
        case "$engine $("$candidate" --version 2>&1)" in
            openmpi*'Open MPI'* | mpich*HYDRA*) echo "$candidate"; return ;;
        esac
    done
}
case $engine in
    openmpi)
        launcher=$(find_launcher mpirun.openmpi mpirun)
        command=("$launcher" --oversubscribe -n "$ranks")
        [[ $(id -u) == 0 ]] && command=("$launcher" --allow-run-as-root --oversubscribe -n "$ranks")
        need="Open MPI (Debian: openmpi-bin)"
        ;;
    mpich)
        launcher=$(find_launcher mpiexec.hydra mpiexec.mpich mpiexec)
        command=("$launcher" -n "$ranks")
        need="MPICH (Debian: mpich)"
        ;;
    alone)
        exec timeout -k 5 60 "$program" alone
        ;;
    *) echo "unknown engine $engine" >&2; exit 2 ;;
esac
[[ -n $launcher ]] || { echo "skipped: $need is not installed"; exit 77; }
if [[ $program != *failures* ]]; then
    exec timeout -k 5 145 "${command[@]}" "$program" "$@"
fi

failed=0
scenarios=(timeout silent_partner aborted checked_mismatch reductions_differ more fewer other_type leaver absent_at_init arguments semantics)
[[ ${DISTTRAIN_SOAK:-} == 1 && $ranks == 2 ]] && scenarios+=(huge) # 2.4 GB a rank
for scenario in "${@:-${scenarios[@]}}"; do
    output=$(timeout -k 5 60 "${command[@]}" "$program" "$scenario" 2>&1)
    code=$?
    passed=$(grep -c '^rank [0-9]* passed' <<<"$output")
    echo "$scenario: $passed of $ranks ranks passed, the launcher's code is $code"
    healthy=0
    [[ $scenario == arguments || $scenario == semantics || $scenario == huge ]] && healthy=1
    # A launcher may itself fall over while it stops a job (PMIx of Open MPI 4.1.4 does now and then); a rank must not.
    if [[ $passed != "$ranks" || $code == 124 || $code == 137 ]] || [[ $healthy == 1 && $code != 0 ]] ||
        grep -qE 'Sanitizer|runtime error|exited on signal (11|6|7|8)|BY SIGNAL: (Segm|Abort|Bus|Float)' <<<"$output"; then
        echo "$output"
        failed=1
    fi
done
exit $failed
