"""Checksums that tie a report to the data it was made from."""

from __future__ import annotations

import hashlib

import numpy as np

from knightshift.core.arrays import ComplexArray


def sha256_hex(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def image_digest(images: ComplexArray) -> str:
    """SHA-256 over the values of images: little-endian complex64 in C order, whatever the machine's order is."""
    return sha256_hex(np.ascontiguousarray(images, dtype="<c8").tobytes())
