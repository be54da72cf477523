import hashlib

import pytest

from bench.training.streams import stream


def test_a_stream_is_the_first_bits_of_the_digest_of_seed_and_names():
    digest = hashlib.sha256(b"3/dropout/5/1").hexdigest()
    assert stream(3, "dropout", 5, 1) == int(digest[:16], 16) // 2


def test_streams_of_other_seeds_and_names_are_others_and_fit_every_generator():
    names = [("order",), ("calibration",), *(("dropout", epoch, rank) for epoch in range(20) for rank in range(3))]
    found = {stream(seed, *each) for seed in range(50) for each in names}
    assert len(found) == 50 * len(names) and all(0 <= value < 2**63 for value in found)


@pytest.mark.parametrize(("first", "second"), [((1, "a", 12), (11, "a", 2)), ((1, "a", 1, 2), (1, "a", 12))])
def test_numbers_that_run_together_are_told_apart(first, second):
    assert stream(*first) != stream(*second)
