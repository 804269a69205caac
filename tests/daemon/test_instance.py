"""Which daemon a command speaks to."""

import socket
import subprocess
import sys

import pytest

from gimbal.daemon import instance
from gimbal.errors import UsageError


def _listener(path):
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(1)
    return server


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's runtime folder, with a socket in it that a killed daemon left behind."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("GIMBAL_RUNTIME_DIR", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    made = tmp_path / "gimbal"
    made.mkdir(mode=0o700)
    killed = (
        "import socket, sys, os, signal; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", killed, str(made / "left.sock")], check=False)
    assert (made / "left.sock").is_socket()
    return made


def test_a_killed_daemons_socket_is_no_daemon(folder):
    with pytest.raises(UsageError, match="No daemon runs rig 'left'"):
        instance.find_socket("left")
    with _listener(folder / "alive.sock"):
        assert instance.find_socket("alive") == folder / "alive.sock"


def test_one_that_stands_still_with_a_full_backlog_is_found(folder):
    with _listener(folder / "still.sock"):
        callers = []
        for _ in range(4):  # more than its backlog
            caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            caller.setblocking(False)
            caller.connect_ex(str(folder / "still.sock"))
            callers.append(caller)
        assert instance.find_socket("still") == folder / "still.sock"
        for caller in callers:
            caller.close()


def test_a_named_folder_keeps_daemons_apart(folder, tmp_path, monkeypatch):
    apart = tmp_path / "apart"
    monkeypatch.setenv("GIMBAL_RUNTIME_DIR", str(apart))
    with _listener(folder / "alive.sock"):
        with pytest.raises(UsageError, match="No daemon is running"):
            instance.find_socket(None)
        with pytest.raises(UsageError, match="No daemon runs rig 'alive'"):
            instance.find_socket("alive")
        assert not apart.exists()  # who only asks makes nothing
        apart.mkdir()
        with _listener(apart / "mine.sock"):
            assert instance.find_socket(None) == apart / "mine.sock"
