"""Where the shared recordings are: a folder beside the checkout. Tests that need them skip, saying so, where absent."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(relative: str) -> Path:
    """Path of a file or folder of the shared data, or skip the calling test."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"the shared data folder has no {relative} here")
    return path
