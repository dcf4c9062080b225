#!/usr/bin/env bash
# Builds the shim plain, with address + undefined-behaviour sanitizers and with the thread sanitizer, and runs the tests of each.
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
out=${1:-$root/../../artifacts/nccl-shim}
failed=0
generator=()
command -v ninja >/dev/null && generator=(-G Ninja)
for variant in release address thread; do
    sanitize=$variant
    [[ $variant == release ]] && sanitize=
    mkdir -p "$out/$variant"
    log=$out/$variant/test.log
    if ! { cmake "${generator[@]}" -S "$root" -B "$out/$variant" -DDT_SANITIZE=$sanitize && cmake --build "$out/$variant" -j; } >"$log" 2>&1; then
        tail -40 "$log"
        echo "shim, $variant: the build failed"
        failed=1
        continue
    fi
    ctest -j 2 --test-dir "$out/$variant" --output-on-failure --timeout 150 >"$log" 2>&1 || { failed=1; tail -80 "$log"; }
    echo "shim, $variant: $(grep -E 'tests passed|tests failed' "$log")"
done
exit $failed
