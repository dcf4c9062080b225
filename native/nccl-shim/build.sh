#!/usr/bin/env bash
# Builds the shared libraries alone. usage: build.sh OUT   -> OUT/libdisttrain_shim.so, OUT/libdisttrain_cuda.so
# Without cmake or a C compiler it says so and succeeds: the library is optional, replicas in one process work without it.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
out=${1:?usage: build.sh OUT}
if ! command -v cmake >/dev/null || ! command -v cc >/dev/null; then
    echo "the collectives' native library is not built: cmake and a C compiler are needed (Debian: apt-get install cmake gcc make)"
    exit 0
fi
mkdir -p "$out"
# Several builds may come at once: one works, the others wait and find it done.
exec 9>"$out/build.lock"
flock 9
generator=()
command -v ninja >/dev/null && [[ ! -f $out/CMakeCache.txt ]] && generator=(-G Ninja)
if ! { cmake "${generator[@]}" -S "$root" -B "$out" -DBUILD_TESTING=OFF -DDT_BENCH=OFF && cmake --build "$out" -j; } >"$out/build.log" 2>&1; then
    cat "$out/build.log" >&2
    exit 1
fi
