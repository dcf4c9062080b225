#!/usr/bin/env bash
# Packs what a machine with a GPU but without .NET and network needs to prove and time DistTrain there: the kernel tests, the benchmarks,
# run.sh and the PyTorch peer, in one folder with the runtime. Usage: bench/gpu/pack.sh [FILE.tar.gz|FILE.tar.xz]   (default: artifacts/gpu-kit.tar.gz)
# Then, on the target: tar xf gpu-kit.tar.gz && OUT=results gpu-kit/run.sh
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
archive=${1:-$root/artifacts/gpu-kit.tar.gz}
limit=$((45 * 1000 * 1000))
work=$root/artifacts/gpu-kit
rm -rf "$work"
mkdir -p "$work/bin" "$(dirname "$archive")"

# Both programs share one runtime in one folder. Not trimmed: xunit, BenchmarkDotNet and ILGPU find code by reflection.
for project in tests/Kernels.Tests bench/DistTrain.Bench; do
    dotnet publish "$root/$project" -c Release -r linux-x64 --self-contained -v quiet -nologo -o "$work/bin" \
        -p:PublishTrimmed=false -p:PublishSingleFile=false -p:InvariantGlobalization=true -p:SatelliteResourceLanguages=en \
        -p:DebugType=none -p:DebugSymbols=false -p:GenerateDocumentationFile=false -p:PublishReadyToRun=false
done
# What neither program uses there: symbols, documentation, other systems' native code, debugging support, and what BenchmarkDotNet needs
# only to disassemble or to trace.
find "$work/bin" \( -name '*.pdb' -o -name '*.xml' -o -name '*.dbg' -o -name 'createdump' -o -name 'libmscordbi.so' -o -name 'libmscordaccore.so' \
    -o -name 'libclrgc*.so' -o -name 'libcapstone.so' -o -name 'Gee.External.Capstone.dll' -o -name 'Iced.dll' -o -name 'Microsoft.Diagnostics.*.dll' \
    -o -name 'System.Data.Common.dll' -o -name 'Microsoft.VisualBasic*.dll' -o -name 'System.Private.DataContractSerialization.dll' \) -delete
rm -rf "$work/bin/amd64" "$work/bin/x86" "$work/bin/arm64" "$work/bin/runtimes"

cp "$root/bench/gpu/run.sh" "$work/"
cp "$root"/bench/peers/peer_{torch,protocol}.py "$work/bin/"
git -C "$root" rev-parse HEAD >"$work/COMMIT" 2>/dev/null || true
tar -C "$root/artifacts" --sort=name --owner=0 --group=0 --mtime=@0 -cf - gpu-kit | if [[ $archive == *.xz ]]; then xz -T0 -6; else gzip -9; fi >"$archive"
bytes=$(stat -c %s "$archive")
echo "$archive: $(du -sm "$work" | cut -f1) MB unpacked, $((bytes / 1000000)) MB packed"
if ((bytes > limit)); then
    echo "pack.sh: the archive has $bytes bytes, the limit is $limit; largest files:" >&2
    du -a "$work/bin" | sort -rn | head -12 >&2
    exit 1
fi
