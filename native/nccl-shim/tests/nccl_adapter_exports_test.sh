#!/usr/bin/env bash
# The CUDA adapter has the functions that make and destroy contexts and no others, and needs the driver and libc.
set -euo pipefail
exported=$(nm -D --defined-only "$1" | awk '$2 == "T" { print $3 }' | sort | tr '\n' ' ')
[[ $exported == "cuCtxCreate cuCtxCreate_v2 cuCtxCreate_v3 cuCtxCreate_v4 cuCtxDestroy cuCtxDestroy_v2 " ]] || { echo "the adapter exports $exported"; exit 1; }
needed=$(objdump -p "$1" | awk '/NEEDED/ { print $2 }' | grep -vE '^(libc|libpthread|libdl|ld-linux.*|lib[a-z]+san)\.so\.[0-9]+$' | tr '\n' ' ')
[[ $needed == "libcuda.so.1 " ]] || { echo "the adapter needs $needed, not libcuda.so.1 alone"; exit 1; }
! objdump -p "$1" | grep -qE 'R(UN)?PATH' || { echo "the adapter names folders of the machine that built it"; exit 1; }
echo "$exported"
