#!/usr/bin/env bash
# Builds the peers that `disttrain bench --against` measures beside DistTrain, under artifacts/peers/. Safe to run twice.
# Every peer is optional: what can't be installed here is named at the end, and the exit status is still 0.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${DISTTRAIN_PEERS:-$here/../../artifacts/peers}
mkdir -p "$out"
out=$(cd "$out" && pwd)
missing=()

install_packages() {
    local wanted=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || wanted+=("$package")
    done
    [[ ${#wanted[@]} -eq 0 ]] && return 0
    command -v apt-get >/dev/null || return 1
    local sudo=()
    [[ $EUID -eq 0 ]] || sudo=(sudo -n)
    "${sudo[@]}" apt-get -o DPkg::Lock::Timeout=120 install -y -q --no-install-recommends "${wanted[@]}" >"$out/apt.log" 2>&1 && return 0
    { "${sudo[@]}" apt-get -o DPkg::Lock::Timeout=120 update -q && \
      "${sudo[@]}" apt-get -o DPkg::Lock::Timeout=120 install -y -q --no-install-recommends "${wanted[@]}"; } >>"$out/apt.log" 2>&1
}

build_sgemm() { # name, Debian package, compiler and linker flags
    local name=$1 package=$2
    shift 2
    if ! install_packages gcc libc6-dev "$package"; then
        missing+=("$name: could not install $package (see $out/apt.log)")
    elif ! gcc -O2 -Wall -o "$out/$name-peer" "$here/sgemm_peer.c" "$@" -lm 2>"$out/$name.log"; then
        missing+=("$name: sgemm_peer.c does not build (see $out/$name.log)")
    else
        echo "$name: $out/$name-peer"
    fi
}

build_openmpi() {
    if ! install_packages openmpi-bin libopenmpi-dev gcc libc6-dev; then
        missing+=("openmpi: could not install openmpi-bin libopenmpi-dev (see $out/apt.log)")
    elif ! OMPI_CC=gcc mpicc.openmpi -O3 -Wall -Wextra -o "$out/openmpi-peer" "$here/collective_mpi.c" 2>"$out/openmpi.log"; then
        missing+=("openmpi: collective_mpi.c does not build (see $out/openmpi.log)")
    else
        echo "openmpi: $out/openmpi-peer"
    fi
}

# TorchSharp 0.107 needs a newer libstdc++ than Debian 12 has, for one symbol: supply it beside the library.
patch_torchsharp() {
    local library=$1/libLibTorchSharp.so
    unresolved "$library" || return 0
    install_packages g++ patchelf python3 || return 1
    g++ -shared -fPIC -x c++ -o "$1/libios_base_init.so" - <<'CPP' || return 1
#include <iostream>
extern "C" void _ZSt21ios_base_library_initv() { static std::ios_base::Init init; }
CPP
    patchelf --clear-symbol-version _ZSt21ios_base_library_initv --add-needed libios_base_init.so --set-rpath '$ORIGIN' "$library" &&
        python3 "$here/libtorch_symbol.py" "$library" && ! unresolved "$library"
}

# True if the loader would refuse the library; it only remarks on versions that are missing but weak.
unresolved() { ldd "$1" 2>&1 | grep "not found" | grep -qv "weak version"; }

build_torchsharp() {
    if [[ $(uname -s)-$(uname -m) != Linux-x86_64 ]]; then
        missing+=("torchsharp: its project is for linux-x64")
    elif ! dotnet build -c Release -v quiet "$here/TorchSharpPeer" -p:ArtifactsPath="$out/build" >"$out/torchsharp.log" 2>&1; then
        missing+=("torchsharp: TorchSharpPeer does not build (see $out/torchsharp.log)")
    else
        local folder=$out/build/bin/TorchSharpPeer/release_linux-x64
        if patch_torchsharp "$folder" >>"$out/torchsharp.log" 2>&1 && "$folder/TorchSharpPeer" 1 </dev/null 2>>"$out/torchsharp.log" | grep -q ^ready; then
            ln -sfn "$folder/TorchSharpPeer" "$out/torchsharp-peer"
            echo "torchsharp: $out/torchsharp-peer"
        else
            missing+=("torchsharp: libtorch does not load (see $out/torchsharp.log)")
        fi
    fi
}

# Any python3 that can import it will do; else Debian's package for Debian's own interpreter.
find_python_module() { # peer, module, Debian package
    local python
    for attempt in found installed; do
        for python in python3 /usr/bin/python3; do
            "$python" -c "import $2" 2>/dev/null && { echo "$1: $(command -v "$python") ($attempt)"; return; }
        done
        [[ $attempt == found ]] && install_packages "$3" || break
    done
    missing+=("$1: no python3 here can import $2, and $3 could not be installed (see $out/apt.log)")
}

find_python_module numpy numpy python3-numpy
find_python_module pytorch torch python3-torch
find_python_module gloo torch.distributed python3-torch
build_openmpi
build_sgemm onednn libdnnl-dev -DONEDNN -ldnnl
build_sgemm openblas libopenblas-dev -lopenblas
build_torchsharp
for line in "${missing[@]+"${missing[@]}"}"; do echo "not installed: $line" >&2; done
exit 0
