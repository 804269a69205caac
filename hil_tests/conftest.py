"""``daemon(...)`` starts the real daemon; ``--rig RIG.toml`` runs the harmless cases on real hardware instead."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hil_tests.harness import Daemon, Emulators, Place


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rig", help="a rig file of real hardware: only the cases marked harmless run")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "harmless: may run on real hardware with --rig")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = [item for item in items if "hil_tests" in str(item.path)]
    for item in here:
        item.add_marker(pytest.mark.realtime)
        if sys.platform != "linux":
            item.add_marker(pytest.mark.skip(reason="the daemon runs on Linux"))
        elif config.getoption("--rig") and not item.get_closest_marker("harmless"):
            item.add_marker(pytest.mark.skip(reason="breaks things: not on real hardware"))


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(request.config.getoption("--rig"))
    yield made
    made.remove()


@pytest.fixture
def daemon(place: Place) -> Callable[..., Daemon]:
    """``daemon("--arm")`` starts one on ``place``, whose end is its own."""

    def start(*words: str, **how: Any) -> Daemon:
        return Daemon(place, *words, **how)

    return start


@pytest.fixture
def emulators(place: Place) -> Emulators:
    return Emulators(place)
