#!/usr/bin/env bash
# Measures training under every strategy beside independent runs and installed peers, what checkpoints, virtual shards and a killed process cost, and simulates larger jobs.
# Writes bench/results/HARDWARE/strategy.{json,md} and the picture docs/communication-stall.svg. Takes about three minutes; the machine should be quiet.
# Usage: bench/record_strategy.sh HARDWARE [options of bench strategy]      e.g. bench/record_strategy.sh xeon-2-cores --rounds 9
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
[[ ${1:-} =~ ^[a-z0-9][a-z0-9.-]*$ ]] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
folder=$root/bench/results/$1
shift
mkdir -p "$folder"
table=$(mktemp)
trap 'rm -f "$table"' EXIT
dotnet build "$root/src/Cli" -c Release -v quiet -nologo
dotnet build "$root/bench/DistTrain.Bench" -c Release -v quiet -nologo
# The compiler stays, and works on for half a minute on a core that is to be measured.
dotnet build-server shutdown >/dev/null
dotnet "$root/artifacts/bin/DistTrain.Bench/release/DistTrain.Bench.dll" rows strategy --json "$folder/strategy.json" --plot "$root/docs/communication-stall.svg" "$@" 2>&1 | tee "$table"
{
    echo "# Strategies on $(basename "$folder")"
    echo
    echo "Written by \`bench/record_strategy.sh $(basename "$folder")${*:+ $*}\` on $(date -u +%Y-%m-%d), commit $(git -C "$root" rev-parse --short HEAD)."
    echo "[docs/benchmarks.md](../../../docs/benchmarks.md#strategies) says what the numbers mean."
    echo
    echo "- processor: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(uname -sr)"
    echo "- .NET runtime $(dotnet --list-runtimes | sed -n 's/^Microsoft.NETCore.App \([^ ]*\).*/\1/p' | tail -1)"
    echo
    echo '```'
    cat "$table"
    echo '```'
} >"$folder/strategy.md"
echo "wrote $folder/strategy.json and strategy.md"
