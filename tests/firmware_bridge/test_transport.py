"""Ports: clear errors, non-blocking, newest wins on a full line, hang-up and replug; ptys stand in for serial ports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import tty

import pytest

from firmware_bridge import serial_port
from firmware_bridge.emulators.ports import PtyPort
from firmware_bridge.errors import PortError
from firmware_bridge.interface import Status
from firmware_bridge.memory_transport import memory_pair
from firmware_bridge.transport import SerialTransport, UdpTransport, open_transport


@pytest.fixture
def port(tmp_path):
    made = PtyPort(tmp_path / "device")
    yield made
    made.disconnect()


def test_bytes_both_ways_with_arrival_stamp(port):
    line = SerialTransport(str(port.link), 921600)
    assert line.read() == b"" and not line.lost
    before = time.monotonic_ns()
    port.write(b"hello", 0)
    assert line.wait(1.0) and line.read() == b"hello"
    assert before <= line.arrival_ns <= time.monotonic_ns()
    assert line.write(b"world") == Status.OK
    assert port.read(1)[0][1] == b"world"
    assert (line.counters.bytes_in, line.counters.bytes_out) == (5, 5)
    line.close()
    line.close()
    assert line.write(b"x") == Status.LINK_LOST


def test_a_full_line_never_blocks_and_the_newest_frame_wins(port):
    line = SerialTransport(str(port.link))
    frames = [b"%05d," % i * 200 for i in range(60)]
    start = time.monotonic()
    statuses = [line.write(frame) for frame in frames]
    assert time.monotonic() - start < 5.0
    assert statuses[-1] == Status.LINE_FULL and line.counters.frames_dropped > 10
    got = b""
    while chunk := b"".join(data for _, data in port.read(1)):
        got += chunk
        line.flush()
    numbers = [int(word) for word in got.split(b",") if word]
    assert got == b"".join(frames[n] for n in dict.fromkeys(numbers))  # whole frames only, in order
    assert numbers[-1] == 59


def test_what_waits_goes_out_with_the_next_read_and_before_closing(port):
    line = SerialTransport(str(port.link))
    while line.write(b"x" * 1000) == Status.OK:
        pass
    line.write(b"stop", urgent=True)
    while data := b"".join(chunk for _, chunk in port.read(1)):
        got = data
    line.read()
    got += b"".join(chunk for _, chunk in port.read(1))
    assert got.endswith(b"stop")
    while line.write(b"y" * 1000) == Status.OK:
        pass
    while chunks := port.read(1):
        got = chunks[-1][1]
    line.close()
    got += b"".join(chunk for _, chunk in port.read(1))
    assert got.endswith(b"y" * 1000)


def test_urgent_frames_replace_what_waits():
    host, device = memory_pair(capacity=100)
    host.write(b"a" * 100)
    host.write(b"b" * 50)
    assert host.write(b"stop", urgent=True) == Status.OK
    assert device.read() == b"a" * 100
    host.flush()
    assert device.read() == b"stop"
    assert host.counters.frames_dropped == 1


def test_unplug_and_replug(port):
    line = SerialTransport(str(port.link))
    port.disconnect()
    assert line.read() == b"" and line.lost
    assert line.write(b"x") == Status.LINK_LOST and line.reopen() == Status.LINK_LOST
    assert line.counters.hangups == 1
    port.connect()
    assert line.reopen() == Status.OK and not line.lost
    port.write(b"again", 0)
    line.wait(1.0)
    assert line.read() == b"again"
    line.close()


def test_unplug_seen_by_a_write(port):
    line = SerialTransport(str(port.link))
    port.disconnect()
    assert line.write(b"x") == Status.LINK_LOST and line.lost


@pytest.mark.parametrize("path, words", [
    ("/dev/no-such-port", ("is not there", "by-id")),
    ("", ("no port is named", "--port")),
    (__file__, ("no serial port",)),
    ("udp://host", ("no UDP address",)),
])  # fmt: skip
def test_what_is_wrong_with_a_path_is_said(path, words):
    with pytest.raises(PortError) as caught:
        open_transport(path)
    for word in words:
        assert word in str(caught.value)


def test_a_busy_port_names_its_holder(port):
    code = ("import sys, time; from firmware_bridge.transport import SerialTransport;"
            "line = SerialTransport(sys.argv[1]); print('open', flush=True); sys.stdin.read()")  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", code, str(port.link)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:  # fmt: skip
        try:
            assert holder.stdout.readline().strip() == b"open"
            with pytest.raises(PortError, match=rf"busy.*process {holder.pid}\b"):
                SerialTransport(str(port.link))
        finally:
            holder.stdin.close()
            holder.wait(10)
    SerialTransport(str(port.link)).close()  # free again


def test_not_permitted_says_which_group(port, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(serial_port.serial, "Serial", refuse)
    with pytest.raises(PortError, match=r"may not be opened.*group '\w+'.*usermod"):
        SerialTransport(str(port.link))


def test_udp_both_ways_and_a_taken_port():
    a = UdpTransport(("127.0.0.1", 0))
    b = UdpTransport(("127.0.0.1", 0), a.local)
    assert a.write(b"nobody yet") == Status.OK
    b.write(b"ping")
    assert a.wait(1.0) and a.read() == b"ping"
    a.write(b"pong")
    assert b.wait(1.0) and b.read() == b"pong"
    with pytest.raises(PortError, match="can't be used"):
        UdpTransport(a.local)
    a.close()
    b.close()


def test_udp_address_forms():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("0.0.0.0", 0))
        free = probe.getsockname()[1]
    line = open_transport(f"udp://:{free}")
    sender = open_transport(f"udp://127.0.0.1:{free}")
    sender.write(b"x")
    assert line.wait(1.0) and line.read() == b"x"
    line.close()
    sender.close()


def test_the_device_name_survives_a_pty_that_is_not_raw(port):
    # A host that leaves the tty cooked must not get its bytes mangled: the emulator's side is raw on both ends.
    fd = os.open(port.link, os.O_RDWR | os.O_NOCTTY)
    try:
        os.write(fd, b"a\rb\n")
        assert port.read(1)[0][1] == b"a\rb\n"
        tty.setraw(fd)
    finally:
        os.close(fd)
