"""Draws that depend on (seed, purpose, id) alone: one record more moves no other."""

import hashlib


def uniform_draw(seed: int, purpose: str, id: str) -> float:
    """Return a number in [0, 1), the same on every machine."""
    text = f"{seed}:{purpose}:{id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / 2**64
