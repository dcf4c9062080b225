#!/usr/bin/env bash
# Makes data/digits/ and data/fashion-mnist-slice/ again, byte for byte, from Debian 12 packages. Needs apt-get, dpkg-deb and the .NET SDK.
# usage: data/make-slice.sh [DESTINATION]     (default: this folder; compare with `sha256sum -c SHA256SUMS`)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
destination=$(mkdir -p "${1:-$here}" && cd "${1:-$here}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get download -q dataset-fashion-mnist python3-sklearn zopfli libzopfli1
for package in *.deb; do dpkg-deb -x "$package" .; done

mkdir -p "$destination/digits" "$destination/fashion-mnist-slice"
cp usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz "$destination/digits/"

dotnet run "$here/slice-idx.cs" -- usr/share/datasets/fashion-mnist train 1000 .
dotnet run "$here/slice-idx.cs" -- usr/share/datasets/fashion-mnist t10k 200 .
# Zopfli writes neither a name nor a time into the gzip header, so that the same input gives the same bytes.
LD_LIBRARY_PATH=$(echo "$work"/usr/lib/*-linux-gnu) usr/bin/zopfli --i15 ./*-ubyte
mv ./*-ubyte.gz "$destination/fashion-mnist-slice/"
cd "$destination" && sha256sum digits/*.gz fashion-mnist-slice/*.gz
