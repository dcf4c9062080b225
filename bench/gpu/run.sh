#!/usr/bin/env bash
# Runs the packed kit: the conformance tests of the device's kernels, then the benchmarks, beside PyTorch where python3 has it.
# Needs neither .NET nor a network. Usage: run.sh [--device cuda:0|opencl:pocl] [--milliseconds N] [--rounds N] [--bench "NAME..."] [--cases TEXT]
#   [--tests-only|--bench-only]
# Results go to $OUT (default ./results): tests.txt, rows.json, table.txt, machine.txt.
set -uo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
device=cuda:0 milliseconds=300 rounds=5 part=all cases=()
benches="limits matmul softmax distillation-loss train-step attention convolution"
while (($#)); do
    case $1 in
        --device) device=$2; shift ;;
        --milliseconds) milliseconds=$2; shift ;;
        --rounds) rounds=$2; shift ;;
        --bench) benches=$2; shift ;;
        --cases) cases=(--cases "$2"); shift ;;
        --tests-only | --bench-only) part=$1 ;;
        *) echo "run.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done
out=${OUT:-$PWD/results}
mkdir -p "$out"
export DOTNET_gcServer=0 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_EnableDiagnostics=0
chmod +x "$here/bin/Kernels.Tests" "$here/bin/DistTrain.Bench"

has_library() { # an exact file name, as the loader finds it
    local search=${LD_LIBRARY_PATH:-} folder
    for folder in ${search//:/ } /lib /lib64 /usr/lib /usr/lib64 /usr/local/lib /usr/lib/x86_64-linux-gnu /usr/local/nvidia/lib64 /usr/local/cuda/compat /usr/lib/wsl/lib; do
        [[ -e $folder/$1 ]] && return 0
    done
    { /sbin/ldconfig -p || ldconfig -p; } 2>/dev/null | grep -q "$1"
}
if [[ $device == cuda* ]] && ! has_library libcuda.so.1; then
    echo "run.sh: no libcuda.so.1 here: this machine has no NVIDIA driver"
    exit 1
fi
case $device in
    cuda*) classes=OnCuda ;;
    opencl*) classes=OnPocl ;;
    *) classes=OnEmulator ;;
esac

{
    cat "$here/COMMIT" 2>/dev/null
    uname -srm
    grep -m1 "model name" /proc/cpuinfo
    nvidia-smi 2>/dev/null
    nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit,memory.total --format=csv 2>/dev/null
} >"$out/machine.txt"

failures=0
if [[ $part != --bench-only ]]; then
    echo "tests: classes *$classes on $device"
    "$here/bin/Kernels.Tests" -class "*$classes" >"$out/tests.txt" 2>&1 || { failures=1; grep -E "\[FAIL\]" "$out/tests.txt" | head -40; }
    tail -n 3 "$out/tests.txt"
fi
if [[ $part != --tests-only ]]; then
    "$here/bin/DistTrain.Bench" rows $benches --device "$device" --milliseconds "$milliseconds" --rounds "$rounds" ${cases[@]+"${cases[@]}"} --json "$out/rows.json" 2>&1 | tee "$out/table.txt"
    ((PIPESTATUS[0])) && failures=1
fi
echo "results: $out"
exit $failures
