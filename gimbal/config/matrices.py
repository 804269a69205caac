"""Exponential and steady Riccati equation of small matrices, in numpy: importing scipy for them would take the daemon's
start half a second."""

from __future__ import annotations

import math

import numpy as np

TERMS = 18  # of the exponential's series; at a norm of 0.5 the next one is below 1e-22


def expm(A: np.ndarray) -> np.ndarray:
    """e^A by scaling, Taylor series and squaring (C. Moler, C. Van Loan, SIAM Review 45(1), 2003, method 3)."""
    norm = float(np.abs(A).sum(axis=0).max())
    halvings = max(0, math.ceil(math.log2(norm / 0.5))) if norm > 0.0 else 0
    B = A / 2.0**halvings
    term = result = np.eye(len(A))
    for k in range(1, TERMS + 1):
        term = term @ B / k
        result = result + term
    for _ in range(halvings):
        result = result @ result
    return result


def solve_discrete_are(A: np.ndarray, B: np.ndarray, Q: np.ndarray, R: np.ndarray) -> np.ndarray:
    """Stabilising X of X = A'XA - A'XB (R + B'XB)^-1 B'XA + Q, by the structure-preserving doubling algorithm.

    Source: E. K.-W. Chu, H.-Y. Fan, W.-W. Lin, C.-S. Wang, Int. J. Control 77(8), 2004,
    doi 10.1080/00207170410001714988. Raises ArithmeticError where it does not settle (no stabilising solution).
    """
    eye = np.eye(len(A))
    G = B @ np.linalg.solve(R, B.T)
    H = Q
    for _ in range(60):
        W = np.linalg.solve(eye + G @ H, np.hstack([A, G @ A.T]))
        WA, WG = W[:, : len(A)], W[:, len(A) :]
        more = A.T @ H @ WA
        G = G + A @ WG
        A = A @ WA
        H = H + 0.5 * (more + more.T)
        if np.abs(more).max() <= 1e-15 * np.abs(H).max():
            return H
    raise ArithmeticError("the Riccati equation has no stabilising solution")
