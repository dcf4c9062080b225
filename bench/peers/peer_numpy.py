#!/usr/bin/env python3
"""numpy as a peer of `disttrain bench ingest`: batches cut out of an array in memory. Usage: peer_numpy.py"""
import numpy

from peer_protocol import number, serve


def loader(element_bytes, batch):
    """Copies the next slice of an array into a batch of its own: no loop over elements in Python."""
    elements = numpy.random.default_rng(1).random((max(1 << 16, (64 << 20) // element_bytes), element_bytes // 4), dtype=numpy.float32)
    start = -batch

    def body():
        nonlocal start
        start = start + batch if start + 2 * batch <= len(elements) else 0
        return elements[start : start + batch].copy()

    return body


def open_case(words):
    return loader(*[number(word) for word in words[1:]]) if words[0] == "loader" else None


if __name__ == "__main__":
    serve(f"numpy {numpy.__version__}", open_case)
