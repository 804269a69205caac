"""What nobody foresaw ends one job, not the thread that mends; a port that goes while it is opened is lost, no more."""

from __future__ import annotations

import os
import termios
import threading

import pytest

from firmware_bridge.errors import PortError
from firmware_bridge.interface import Status
from firmware_bridge.transport import SerialTransport
from gimbal.rig.mender import AtOnce, Mender


def spoiled() -> None:
    raise termios.error(5, "Input/output error")


@pytest.mark.parametrize("kind", [Mender, AtOnce])
def test_a_job_that_raises_ends_alone_and_is_told_once(kind, capfd):
    mend, done = kind(), threading.Event()
    for job in (spoiled, spoiled, done.set):
        mend(job)
    assert done.wait(10.0)
    mend.close()
    assert mend.failed == 2
    assert capfd.readouterr().err.count("met the unforeseen") == 1


@pytest.fixture
def port(tmp_path):
    """A serial transport by a path, and a way to hang it up and to put another pty under its path."""
    ends: list[int] = []

    def plug() -> None:
        master, slave = os.openpty()
        ends[:] = [master, slave]
        path = tmp_path / "port"
        path.unlink(missing_ok=True)
        path.symlink_to(os.ttyname(slave))

    def pull() -> None:
        for end in ends:
            os.close(end)
        ends.clear()

    plug()
    transport = SerialTransport(str(tmp_path / "port"), 115200)
    yield transport, plug, pull
    transport.close()
    pull()


@pytest.mark.parametrize("call", ["tcflush", "tcsetattr"])
def test_a_port_that_goes_again_while_it_is_opened_is_still_lost(port, monkeypatch, call):
    transport, plug, pull = port
    pull()
    transport.read()
    assert transport.lost
    plug()
    with monkeypatch.context() as m:
        m.setattr(termios, call, lambda *_: spoiled())
        assert transport.reopen() == Status.LINK_LOST and transport.lost
        with pytest.raises(PortError, match="can't be opened"):
            SerialTransport(transport.path, 115200)
    assert transport.reopen() == Status.OK and not transport.lost


def test_settings_of_a_port_that_is_gone_raise_what_drivers_expect(port, monkeypatch):
    transport, _, _ = port
    monkeypatch.setattr(termios, "tcsetattr", lambda *_: spoiled())
    with pytest.raises(PortError, match="can't be set to 57600 baud"):
        transport.set_baud(57600)
    transport.set_format("E", 2)  # never raises
