#!/usr/bin/env bash
# Installs what the tests need (where it may), builds everything and runs every test.
# --soak: whole matrices and long soaks instead of samples.   --no-install: never call apt.
# The last line is: N passed, N failed, N skipped
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
cd "$root" || exit 1
install=yes
for argument in "$@"; do
    case $argument in
        --soak) export DISTTRAIN_SOAK=1 ;;
        --no-install) install=no ;;
        *) echo "test.sh: unknown option $argument; use --soak or --no-install" >&2; exit 2 ;;
    esac
done
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1

if ! command -v dotnet >/dev/null || ! dotnet --list-sdks | grep -q '^10\.'; then
    echo "test.sh needs the .NET 10 SDK: install dotnet-sdk-10.0 with your package manager, or see https://dot.net/download" >&2
    exit 1
fi

# PoCL runs the GPU kernels where there is no GPU. Without it those tests are skipped by name.
need() { # package, file that shows it is there
    [[ -e $2 ]] || missing+=("$1")
}
missing=()
need pocl-opencl-icd /etc/OpenCL/vendors/pocl.icd
need ocl-icd-libopencl1 /usr/lib/x86_64-linux-gnu/libOpenCL.so.1
if ((${#missing[@]})) && [[ $(uname -m) == x86_64 || -e /usr/lib/aarch64-linux-gnu ]]; then
    if [[ $install == yes ]] && command -v apt-get >/dev/null && [[ $(id -u) == 0 ]]; then
        echo "installing ${missing[*]} ..."
        { apt-get update -qq -o DPkg::Lock::Timeout=120 && apt-get install -y -qq -o DPkg::Lock::Timeout=120 "${missing[@]}"; } >/tmp/disttrain-apt.log 2>&1 \
            || echo "could not install ${missing[*]} (see /tmp/disttrain-apt.log): the OpenCL tests will be skipped"
    else
        echo "not installed: ${missing[*]} (Debian: apt-get install ${missing[*]}): the OpenCL tests will be skipped"
    fi
fi

# Engines that start ranks. Without one its tests are skipped by name.
engines=$(tests/Engines.Tests/engines-install.sh --list)
if [[ -n $engines ]]; then
    if [[ $install == yes ]] && command -v apt-get >/dev/null && [[ $(id -u) == 0 ]]; then
        echo "installing $engines ..."
        tests/Engines.Tests/engines-install.sh >/tmp/disttrain-engines-apt.log 2>&1 || echo "could not install $engines (see /tmp/disttrain-engines-apt.log): tests under these engines will be skipped"
    else
        echo "not installed: $engines (Debian: apt-get install --no-install-recommends $engines): tests under these engines will be skipped"
    fi
fi

echo "building ..."
if ! dotnet build DistTrain.sln -c Release -v quiet -nologo -clp:NoSummary; then
    echo "the build failed"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi

# The C library: plain and under sanitizers, each with its own tests. Beside the suites, which leave a core idle now and then.
mkdir -p artifacts/test-results
shim='' shim_log=artifacts/test-results/nccl-shim.log
if command -v cmake >/dev/null && command -v cc >/dev/null; then
    native/nccl-shim/test.sh >"$shim_log" 2>&1 &
    shim=$!
fi

# Each failed test of a log with its message and stack, and nothing of the hundreds that were skipped.
failures() { # log
    awk '/^ ? ? ? ?[^ ]/ { failing = /^    .*\[FAIL\]$/ || /^    \[.* Failure/ } failing' "$1" | head -400
}
failed_tests=$(mktemp)
trap 'rm -f "$failed_tests"' EXIT

passed=0 failed=0 skipped=0
for project in tests/*.Tests; do
    name=$(basename "$project")
    log=artifacts/test-results/$name.log
    mkdir -p artifacts/test-results
    echo "== $name"
    timeout 3600 dotnet "artifacts/bin/$name/release/$name.dll" -noColor -noLogo >"$log" 2>&1
    status=$?
    summary=$(grep -E 'Total: [0-9]+, Errors: [0-9]+, Failed: [0-9]+, Skipped: [0-9]+' "$log" | tail -1)
    if [[ ! $summary =~ Total:\ ([0-9]+),\ Errors:\ ([0-9]+),\ Failed:\ ([0-9]+),\ Skipped:\ ([0-9]+),\ Not\ Run:\ ([0-9]+) ]]; then
        { tail -40 "$log"; echo "$name ended with exit code $status and no summary [FAIL]"; } | tee -a "$failed_tests"
        failed=$((failed + 1))
        continue
    fi
    bad=$((BASH_REMATCH[2] + BASH_REMATCH[3]))
    skipped=$((skipped + BASH_REMATCH[4]))
    failed=$((failed + bad))
    passed=$((passed + BASH_REMATCH[1] - BASH_REMATCH[3] - BASH_REMATCH[4] - BASH_REMATCH[5]))
    if ((bad > 0)); then
        failures "$log" | tee -a "$failed_tests"
    elif ((status != 0)); then
        echo "$name ended with exit code $status although no test failed [FAIL]" | tee -a "$failed_tests"
        failed=$((failed + 1))
    fi
    echo "   ${summary#*Tests  }"
    # Why tests were skipped, each reason once.
    grep -A1 '\[SKIP\]' "$log" | grep -v -e '\[SKIP\]' -e '^--' | sed 's/^ *//' | sort | uniq -c | sed 's/^ */   skipped /'
done
# The C library's tests were started before the others.
echo "== native/nccl-shim"
if [[ -n $shim ]]; then
    wait "$shim"
    shim_status=$?
    cat "$shim_log"
    if ((shim_status != 0)) && ! grep -qE ', [1-9][0-9]* tests failed out of|the build failed' "$shim_log"; then
        echo "native/nccl-shim/test.sh failed without naming a test"
        failed=$((failed + 1))
    fi
    while read -r bad all; do
        failed=$((failed + bad))
        passed=$((passed + all - bad))
    done < <(sed -nE 's/^shim, .*tests passed, ([0-9]+) tests failed out of ([0-9]+).*/\1 \2/p; s/^shim, .*the build failed.*/1 1/p' "$shim_log")
else
    echo "   skipped: cmake and a C compiler are needed (Debian: apt-get install cmake gcc)"
    skipped=$((skipped + 1))
fi
# Again at the end, where who reads only the last page sees them.
if [[ -s $failed_tests ]]; then
    echo "== failed"
    head -100 "$failed_tests"
    grep '\[FAIL\]$' "$failed_tests"
fi
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
