#!/usr/bin/env bash
# Measures every bench against every installed peer and writes bench/results/HARDWARE/: rows.json, README.md (table, versions).
# Usage: bench/record.sh HARDWARE [options of rows]      e.g. bench/record.sh xeon-2-cores --rounds 9 --threads 1,2
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
[[ ${1:-} =~ ^[a-z0-9][a-z0-9.-]*$ ]] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
folder=$root/bench/results/$1
shift
mkdir -p "$folder"
dotnet build "$root/bench/DistTrain.Bench" -c Release -v quiet -nologo
# The compiler stays, and works on for half a minute on a core that is to be measured.
dotnet build-server shutdown >/dev/null
program="dotnet $root/artifacts/bin/DistTrain.Bench/release/DistTrain.Bench.dll"
$program rows all --json "$folder/rows.json" "$@" 2>&1 | tee "$folder/table.tmp"
{
    echo "# $(basename "$folder")"
    echo
    echo "Written by \`bench/record.sh $(basename "$folder")${*:+ $*}\` on $(date -u +%Y-%m-%d), commit $(git -C "$root" rev-parse --short HEAD)."
    echo "[docs/benchmarks.md](../../../docs/benchmarks.md) says what the numbers mean; *ours / it* above 1: DistTrain is faster."
    echo
    echo "- processor: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(uname -sr)"
    echo "- .NET runtime $(dotnet --list-runtimes | sed -n 's/^Microsoft.NETCore.App \([^ ]*\).*/\1/p' | tail -1)"
    echo
    echo '```'
    cat "$folder/table.tmp"
    echo '```'
} >"$folder/README.md"
rm "$folder/table.tmp"
echo "wrote $folder"
