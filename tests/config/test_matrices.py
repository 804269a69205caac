"""The small matrices' equations against SciPy's, and a start without SciPy's large parts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import linalg, signal

from gimbal.config import matrices, prediction


def test_expm_is_scipys() -> None:
    rng = np.random.default_rng(1)
    for size in (1e-9, 1e-3, 1.0, 30.0):
        A = size * rng.normal(size=(5, 5))
        want = linalg.expm(A)
        np.testing.assert_allclose(matrices.expm(A), want, rtol=0.0, atol=1e-11 * np.abs(want).max())
    assert np.array_equal(matrices.expm(np.zeros((3, 3))), np.eye(3))


def test_riccati_is_scipys() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        A, B = rng.normal(size=(4, 4)), rng.normal(size=(4, 1))
        C = rng.normal(size=(4, 4))
        Q, R = C @ C.T, np.array([[0.3]])
        want = linalg.solve_discrete_are(A, B, Q, R)
        np.testing.assert_allclose(
            matrices.solve_discrete_are(A, B, Q, R), want, rtol=1e-7, atol=1e-9 * abs(want).max()
        )


def test_riccati_without_a_solution_says_so() -> None:
    A, B = np.diag([2.0, 0.5]), np.array([[0.0], [1.0]])  # what grows can't be reached
    with pytest.raises(ArithmeticError, match="no stabilising solution"), np.errstate(all="ignore"):
        matrices.solve_discrete_are(A, B, np.eye(2), np.eye(1))


def test_section_is_scipys_bilinear() -> None:
    over, under = [2.0, 300.0, 5e4], [1.0, 80.0, 9e3]
    b, a = signal.bilinear(over, under, 1000.0)
    np.testing.assert_allclose(prediction._section(over, under, 1000.0), [*b, *a[1:]], rtol=1e-10)


def test_packing_a_rig_loads_none_of_scipys_large_parts() -> None:
    script = (
        "import sys; from gimbal.config.load import load_rig; from gimbal.config.pack import pack_params; "
        "import gimbal.loop.pipeline; pack_params(load_rig('torque').config); "
        "print([m for m in ('scipy.linalg', 'scipy.signal', 'scipy.ndimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
