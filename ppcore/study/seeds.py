"""Where do random draws come from? Only from the seed in the settings and a key that names what is drawn.

A key is a sequence of words and numbers >= 0. Words enter as their CRC-32, and the order matters.
"""

import zlib

import numpy as np


def rng_of(seed: int, *key: int | str) -> np.random.Generator:
    """A numpy generator for a seed and a key."""
    return np.random.default_rng(_numbers(seed, key))


def mix(seed: int, *key: int | str) -> int:
    """A seed and a key as one 32-bit number, as torch's generators take it."""
    return mixed(1, seed, *key)[0]


def mixed(count: int, seed: int, *key: int | str) -> list[int]:
    """`count` such numbers for one key; the first one is that of `mix`."""
    return [int(word) for word in np.random.SeedSequence(_numbers(seed, key)).generate_state(count)]


def _numbers(seed: int, key: tuple[int | str, ...]) -> list[int]:
    return [seed, *(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key)]
