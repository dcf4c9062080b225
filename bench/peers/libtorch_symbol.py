"""Marks the GLIBCXX_3.4.32 requirement of libLibTorchSharp.so as weak. Usage: libtorch_symbol.py LIBRARY

TorchSharp 0.107 is built with GCC 13 and asks for that version because of one symbol, std::ios_base_library_init, which setup.sh
supplies itself on older systems (Debian 12). The loader accepts a missing version only where the requirement is weak.
"""
import struct
import sys

VERSION = b"GLIBCXX_3.4.32"
VER_FLG_WEAK = 2


def elf_hash(name):
    """The hash of the System V ABI, by which version requirements are stored."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high & 0xFFFFFFFF
    return value


def main(path):
    with open(path, "rb") as file:
        image = bytearray(file.read())
    pattern = struct.pack("<I", elf_hash(VERSION))
    places = []
    at = image.find(pattern)
    while at >= 0:
        flags, index = struct.unpack_from("<HH", image, at + 4)  # Elf64_Vernaux: hash, flags, index
        if flags == 0 and index < 64:
            places.append(at + 4)
        at = image.find(pattern, at + 4)
    if len(places) != 1:
        sys.exit(f"{path}: expected one requirement of {VERSION.decode()}, found {len(places)}")
    struct.pack_into("<H", image, places[0], VER_FLG_WEAK)
    with open(path, "wb") as file:
        file.write(image)


main(sys.argv[1])
