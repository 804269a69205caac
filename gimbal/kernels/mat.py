"""Small dense matrices as fixed loops. ``A @ B`` in a kernel needs SciPy's BLAS and its bits differ by build."""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel


@kernel
def mat3_vec(m, v):
    """m (3, 3) times the tuple v."""
    return (
        m[0, 0] * v[0] + m[0, 1] * v[1] + m[0, 2] * v[2],
        m[1, 0] * v[0] + m[1, 1] * v[1] + m[1, 2] * v[2],
        m[2, 0] * v[0] + m[2, 1] * v[1] + m[2, 2] * v[2],
    )


@kernel
def mat3t_vec(m, v):
    """m transposed times the tuple v."""
    return (
        m[0, 0] * v[0] + m[1, 0] * v[1] + m[2, 0] * v[2],
        m[0, 1] * v[0] + m[1, 1] * v[1] + m[2, 1] * v[2],
        m[0, 2] * v[0] + m[1, 2] * v[1] + m[2, 2] * v[2],
    )


@kernel
def symmetrize(p, n):
    """Make the leading n x n block of p exactly symmetric."""
    for i in range(n):
        for j in range(i):
            m = 0.5 * (p[i, j] + p[j, i])
            p[i, j] = m
            p[j, i] = m


@kernel
def cholesky(a, n, out):
    """Lower factor of the leading n x n block of a, in out. Returns False if a is not positive definite."""
    for i in range(n):
        for j in range(i + 1):
            s = a[i, j]
            for k in range(j):
                s -= out[i, k] * out[j, k]
            if i == j:
                if not s > 0.0:
                    return False
                out[i, i] = math.sqrt(s)
            else:
                out[i, j] = s / out[j, j]
    return True
