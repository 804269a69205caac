"""Seeded normal numbers inside a kernel: xorshift128+ and the Box-Muller transform.

Each noise source has its own stream, so that switching one on leaves the others' numbers as they were.
Sources: S. Vigna, J. Comput. Appl. Math. 315 (2017), doi 10.1016/j.cam.2016.11.006; G. E. P. Box and M. E. Muller,
Ann. Math. Stat. 29 (1958), doi 10.1214/aoms/1177706645.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel

_TWO_PI = 2.0 * math.pi
_SCALE = 1.0 / 9007199254740992.0  # 2^-53


@kernel
def uniform(s):
    """Uniform in (0, 1]; s (2,) uint64 is the stream, changed in place."""
    x = s[0]
    y = s[1]
    s[0] = y
    x ^= x << np.uint64(23)
    x = x ^ y ^ (x >> np.uint64(17)) ^ (y >> np.uint64(26))
    s[1] = x
    return (float((x + y) >> np.uint64(11)) + 1.0) * _SCALE


@kernel
def normal2(s):
    """Two independent standard normal numbers."""
    r = math.sqrt(-2.0 * math.log(uniform(s)))
    a = _TWO_PI * uniform(s)
    return (r * math.cos(a), r * math.sin(a))


@kernel
def normal3(s):
    a, b = normal2(s)
    c, _ = normal2(s)
    return (a, b, c)


def stream(seed: int, name: str) -> np.ndarray:
    """State of an independent stream for (seed, name)."""
    words = np.frombuffer(name.encode().ljust(16, b"\0")[:16], dtype=np.uint32)
    state = np.random.SeedSequence([seed & 0xFFFFFFFF, *(int(w) for w in words)]).generate_state(2, np.uint64)
    state[1] |= np.uint64(1)  # never all zero
    return state
