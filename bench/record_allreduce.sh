#!/usr/bin/env bash
# Measures all-reduce over shared memory and in one process on 2 and 4 ranks against every installed peer, our algorithms against the transports' own ways, and fits
# their costs. Writes bench/results/HARDWARE/: allreduce.json (all rows), allreduce-costs-*.json, allreduce.md (tables, versions). Takes about a quarter of an hour.
# Usage: bench/record_allreduce.sh HARDWARE [options of bench allreduce]      e.g. bench/record_allreduce.sh xeon-2-cores --rounds 15
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
[[ ${1:-} =~ ^[a-z0-9][a-z0-9.-]*$ ]] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
folder=$root/bench/results/$1
shift
mkdir -p "$folder"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
dotnet build "$root/bench/DistTrain.Bench" -c Release -v quiet -nologo
# The compiler stays, and works on for half a minute on a core that is to be measured.
dotnet build-server shutdown >/dev/null
program="dotnet $root/artifacts/bin/DistTrain.Bench/release/DistTrain.Bench.dll rows allreduce"
run=0

measure() { # title, options...
    local title=$1
    shift
    run=$((run + 1))
    printf '\n## %s\n\n`disttrain bench allreduce %s`\n\n```\n' "$title" "$*" | tee -a "$scratch/tables"
    $program "$@" --json "$scratch/rows-$run.json" | tee -a "$scratch/tables"
    echo '```' | tee -a "$scratch/tables"
}

for ranks in 2 4; do
    measure "$ranks processes over shared memory" --transport shm --ranks "$ranks" "$@"
    measure "$ranks threads of one process" --transport inprocess --ranks "$ranks" --min 1K --max 64M --against none "$@"
    measure "$ranks processes, our algorithms" --transport shm --ranks "$ranks" --algorithm own,ring,direct,recursive-doubling,tree,double-tree --min 16K --max 64M --against none "$@"
    measure "$ranks processes, fitted costs" --transport shm --ranks "$ranks" --fit "$folder/allreduce-costs-$ranks-ranks.json" "$@"
done
for verb in reduce-scatter all-gather broadcast reduce all-to-all send-recv; do
    measure "$verb, 2 processes" --transport shm --verb "$verb" --min 16K --max 16M "$@"
done
if command -v mpirun >/dev/null; then
    measure "2 ranks over MPI" --transport mpi --algorithm own,ring --min 64K --max 64M "$@" || echo "without MPI" | tee -a "$scratch/tables"
fi
# One array of all runs' rows, still one row a line.
{ echo "["; cat "$scratch"/rows-*.json | grep '^ *{' | sed 's/},\?$/},/' | sed '$ s/,$//'; echo "]"; } >"$folder/allreduce.json"
{
    echo "# Collectives on $(basename "$folder")"
    echo
    echo "Written by \`bench/record_allreduce.sh $(basename "$folder")${*:+ $*}\` on $(date -u +%Y-%m-%d), commit $(git -C "$root" rev-parse --short HEAD)."
    echo "[docs/benchmarks.md](../../../docs/benchmarks.md#collectives) says what the numbers mean; *ours / it* above 1: DistTrain is faster."
    echo
    echo "- processor: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(uname -sr)"
    echo "- .NET runtime $(dotnet --list-runtimes | sed -n 's/^Microsoft.NETCore.App \([^ ]*\).*/\1/p' | tail -1)"
    cat "$scratch/tables"
} >"$folder/allreduce.md"
echo "wrote $folder/allreduce.json and allreduce.md"
