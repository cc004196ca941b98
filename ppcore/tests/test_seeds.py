"""Does every draw hang on its seed and its key, and on nothing else?"""

import zlib

import numpy as np

from ppcore.study.seeds import mix, mixed, rng_of


def test_a_seed_and_a_key_are_numpys_entropy_and_words_count_by_their_crc():
    assert mix(7, 3, "a") == np.random.SeedSequence([7, 3, zlib.crc32(b"a")]).generate_state(1)[0]
    assert rng_of(7, 3).integers(1 << 30) == np.random.default_rng([7, 3]).integers(1 << 30)


def test_seed_key_and_order_each_change_the_draw():
    drawn = [mix(7), mix(8), mix(7, 1), mix(7, 2), mix(7, 1, 2), mix(7, 2, 1), mix(7, "a"), mix(7, "b")]
    assert len(set(drawn)) == len(drawn) and all(0 <= value < 2**32 for value in drawn)


def test_more_seeds_of_a_key_begin_with_fewer():
    assert mixed(5, 7, "a")[:2] == mixed(2, 7, "a") and mixed(1, 7, "a") == [mix(7, "a")]
    assert len(set(mixed(100, 7))) == 100
