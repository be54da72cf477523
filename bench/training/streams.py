"""Random streams: one seed gives an independent stream for every name."""

import hashlib


def stream(seed: int, *names: str | int) -> int:
    """Seed, at least 0 and below 2^63, of the stream called ``names``, independent of streams with other names."""
    key = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
