"""Random streams: one seed gives as many independent ones as there are names for them."""

import hashlib


def stream(seed: int, *names: str | int) -> int:
    """Seed, at least 0 and below 2^63, of the stream that ``names`` stand for; others are unrelated to it."""
    key = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
