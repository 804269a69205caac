"""Seeded normal numbers inside a kernel: xorshift128+ through the inverse of the normal distribution.

Each noise source has its own stream, so that switching one on leaves the others' numbers as they were.
Sources: S. Vigna, J. Comput. Appl. Math. 315 (2017), doi 10.1016/j.cam.2016.11.006; M. J. Wichura, Algorithm AS 241
(PPND7, good to 7 digits), Appl. Stat. 37(3), 1988, doi 10.2307/2347330.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel

_SCALE = 1.0 / 4503599627370496.0  # 2^-52


@kernel
def uniform(s):
    """Uniform inside (0, 1); s (2,) uint64 is the stream, changed in place."""
    x = s[0]
    y = s[1]
    s[0] = y
    x ^= x << np.uint64(23)
    x = x ^ y ^ (x >> np.uint64(17)) ^ (y >> np.uint64(26))
    s[1] = x
    return (float((x + y) >> np.uint64(12)) + 0.5) * _SCALE


@kernel
def inverse_normal(p):
    """The standard normal number below which a share p in (0, 1) lies."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        top = ((59.10937472 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179
        return q * top / (((67.1875636 * r + 78.757757664) * r + 17.895169469) * r + 1.0)
    r = math.sqrt(-math.log(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        r -= 1.6
        x = (((0.17023821103 * r + 1.3067284816) * r + 2.75681539) * r + 1.4234372777) / (
            (0.12021132975 * r + 0.7370016425) * r + 1.0
        )
    else:
        r -= 5.0
        x = (((0.017337203997 * r + 0.42868294337) * r + 3.081226386) * r + 6.657905115) / (
            (0.012258202635 * r + 0.24197894225) * r + 1.0
        )
    return -x if q < 0.0 else x


@kernel
def normal3(s):
    """Three independent standard normal numbers."""
    return (inverse_normal(uniform(s)), inverse_normal(uniform(s)), inverse_normal(uniform(s)))


def stream(seed: int, name: str) -> np.ndarray:
    """State of an independent stream for (seed, name)."""
    words = np.frombuffer(name.encode().ljust(16, b"\0")[:16], dtype=np.uint32)
    state = np.random.SeedSequence([seed & 0xFFFFFFFF, *(int(w) for w in words)]).generate_state(2, np.uint64)
    state[1] |= np.uint64(1)  # never all zero
    return state
