"""The daemon's words to systemd, on a real datagram socket: the watchdog is fed only while ticks advance."""

from __future__ import annotations

import os
import socket
import tempfile
import time

import pytest

from gimbal.daemon.service import Notifier


@pytest.fixture
def manager(monkeypatch):
    folder = tempfile.mkdtemp(dir="/tmp")
    path = os.path.join(folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(2.0)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "4000")
        yield listening
    os.unlink(path)
    os.rmdir(folder)


def test_ready_and_a_watchdog_that_needs_ticks(manager):
    notifier = Notifier()
    assert "NOTIFY_SOCKET" not in os.environ  # a child would speak in the daemon's name
    notifier.say("READY=1")
    assert manager.recv(100) == b"READY=1"
    notifier.alive(10)
    assert manager.recv(100) == b"WATCHDOG=1"
    time.sleep(0.002)
    notifier.alive(10)  # no tick since
    notifier.alive(11)
    notifier.say("STOPPING=1")
    assert [manager.recv(100), manager.recv(100)] == [b"WATCHDOG=1", b"STOPPING=1"]


def test_silent_without_a_manager(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier().say("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    Notifier().say("READY=1")
