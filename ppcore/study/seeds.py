"""Where does a random draw come from? From the seed in the settings and from what is drawn, and from nothing else.

A key is a list of numbers, 0 or more, and words, which count by their CRC-32. Another order is another key.
"""

import zlib

import numpy as np


def rng_of(seed: int, *key: int | str) -> np.random.Generator:
    """numpy's generator for a seed and a key."""
    return np.random.default_rng(_numbers(seed, key))


def mix(seed: int, *key: int | str) -> int:
    """A seed and a key as one number of 32 bits, as torch's generators take it."""
    return mixed(1, seed, *key)[0]


def mixed(count: int, seed: int, *key: int | str) -> list[int]:
    """`count` such numbers of one key, the first of them `mix`'s."""
    return [int(word) for word in np.random.SeedSequence(_numbers(seed, key)).generate_state(count)]


def _numbers(seed: int, key: tuple[int | str, ...]) -> list[int]:
    return [seed, *(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key)]
