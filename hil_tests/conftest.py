"""``daemon(...)`` starts the real daemon; ``--rig RIG.toml`` runs the harmless cases on real hardware instead."""

from __future__ import annotations

import os
import signal
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
def daemon(place: Place) -> Iterator[Callable[..., Daemon]]:
    """``daemon("--arm")`` starts one on ``place``; whatever is left at the end is killed."""
    started: list[Daemon] = []

    def start(*words: str, **how: Any) -> Daemon:
        started.append(Daemon(place, *words, **how))
        return started[-1]

    yield start
    for one in started:
        if one.alive():
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait(10)


@pytest.fixture
def emulators(place: Place) -> Iterator[Emulators]:
    running = Emulators(place)
    yield running
    if running.alive():
        running.end()
