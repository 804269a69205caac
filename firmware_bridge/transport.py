"""Non-blocking byte pipes with one face: serial ports and ptys, UDP; lines in memory are in memory_transport.py.

pyserial only opens and configures a port; after that it is the bare fd, os.readv into the caller's buffer and
os.write. A full line never blocks: what can't be written waits, one frame deep, and a newer frame replaces an older
one that has not begun (counted). A gone port gives LINK_LOST until ``reopen`` finds its path again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge.errors import PortError
from firmware_bridge.interface import Status

Clock = Callable[[], int]
_OK, _LINK_LOST, _LINE_FULL = int(Status.OK), int(Status.LINK_LOST), int(Status.LINE_FULL)
_GONE = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.EBADF, errno.EPIPE, errno.ENOTCONN)
_SERIAL_ERRORS = (OSError, ValueError, termios.error)  # termios.error is no OSError
_BUFFER = 1 << 14
CONTROL_LINES = {"cts": termios.TIOCM_CTS, "dsr": termios.TIOCM_DSR}


@dataclass
class LineCounters:
    bytes_in: int = 0
    bytes_out: int = 0
    frames_dropped: int = 0  # never began: replaced by a newer one on a full line
    hangups: int = 0
    reopened: int = 0


class Transport:
    """The common part. ``arrival_ns`` is the clock at the newest read that gave bytes."""

    def __init__(self, name: str, baud: float, clock: Clock) -> None:
        self.name, self.baud, self.clock = name, baud, clock
        self.counters = LineCounters()
        self.arrival_ns = 0
        self.lost = False
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._torn = b""  # rest of a frame whose beginning is on the wire
        self._queued = b""  # one whole frame that waits

    def read(self) -> bytes:
        """All bytes waiting (at most 16 KiB), b"" when none or when the link is lost (see ``lost``)."""
        if self._torn or self._queued:
            self.flush()
        n = self.read_into(self._view)
        return bytes(self._view[:n]) if n > 0 else b""

    def read_into(self, buffer: memoryview) -> int:
        """Bytes read into ``buffer``, 0 when none wait, LINK_LOST."""
        raise NotImplementedError

    def write(self, data: bytes, urgent: bool = False) -> int:
        """OK when on its way, LINE_FULL when an older frame had to be dropped, LINK_LOST. Never blocks or raises.

        An urgent frame goes ahead of what waits, which is dropped.
        """
        if self.lost:
            return _LINK_LOST
        if self._torn or self._queued:
            return self._write_behind(data, urgent)
        done = self._send(data)
        if done == len(data):
            return _OK
        if done < 0:
            return _LINK_LOST
        if done:
            self._torn = data[done:]
        else:
            self._queued = data
        return _OK

    def _write_behind(self, data: bytes, urgent: bool) -> int:
        if urgent:
            self.counters.frames_dropped += bool(self._queued)
            self._queued = b""
        if self.flush() < 0:
            return _LINK_LOST
        if not self._torn and not self._queued:
            return self.write(data)
        status = _LINE_FULL if self._queued else _OK
        self.counters.frames_dropped += bool(self._queued)
        self._queued = data
        return status

    def flush(self) -> int:
        """Try again to write what waits; bytes still waiting, or LINK_LOST."""
        while self._torn or self._queued:
            begun = self._torn
            done = self._send(begun or self._queued)
            if done < 0:
                return _LINK_LOST
            if done == 0:
                break  # a frame that has not begun stays one that a newer may replace
            if not begun:
                begun, self._queued = self._queued, b""
            self._torn = begun[done:]
            if self._torn:
                break
        return len(self._torn) + len(self._queued)

    def _send(self, data: bytes) -> int:
        """Bytes taken by the line, 0 when it is full, negative when it is gone."""
        raise NotImplementedError

    def wait(self, timeout_s: float) -> bool:
        """Block until bytes wait or the time is over. For open() and identify() only, never in the loop."""
        raise NotImplementedError

    def discard_input(self) -> None:
        """Throw away what waits."""
        while self.read():
            pass

    def set_baud(self, baud: int) -> None:
        """Change the line speed, where there is one."""
        self.baud = baud

    def set_format(self, parity: str, stop_bits: int) -> None:
        """Parity "N", "E" or "O" and stop bits, where there are such things; kept over a reopening."""

    def control_line(self, name: str) -> bool | None:
        """Is the line "cts" or "dsr" asserted? None: the link is lost, or it has no such lines. Some adapters take a
        millisecond to tell: not for the loop."""
        return None

    def reopen(self) -> int:
        """One non-blocking try to get a lost link back: OK or LINK_LOST."""
        return _LINK_LOST if self.lost else _OK

    def _hang_up(self) -> int:
        if not self.lost:
            self.lost = True
            self.counters.hangups += 1
        self._torn = self._queued = b""
        return _LINK_LOST

    def close(self) -> None:
        """Release the line; may be called twice."""
        self.lost = True


class SerialTransport(Transport):
    """A tty by its path: serial port, USB CDC or pty. Raises PortError when it can't be opened."""

    def __init__(self, path: str, baud: int = 115200, clock: Clock = time.monotonic_ns) -> None:
        super().__init__(path, baud, clock)
        self.path = path
        self.low_latency = False
        self.latency_ms: int | None = None  # FTDI's latency timer, read back after it was set; None: it has none
        self._drained = False
        self._fd = -1
        self._format = ("N", 1)
        self._open()

    def _open(self) -> None:
        from firmware_bridge.port_facts import latency_ms
        from firmware_bridge.serial_port import open_serial_fd  # pyserial is slow to import: only when a port is opened

        self._serial, self.low_latency = open_serial_fd(self.path, int(self.baud))
        self.latency_ms = latency_ms(self.path)
        self._fd = self._serial.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._drained = False
        if self._format != ("N", 1):
            self.set_format(*self._format)
        self.lost = False

    def fileno(self) -> int:
        return self._fd

    def read_into(self, buffer: memoryview) -> int:
        if self.lost:
            return _LINK_LOST
        if self._drained:  # a short read took all there was: the next call of a "read until empty" needs no system call
            self._drained = False
            return 0
        try:
            n = os.readv(self._fd, (buffer,))
        except BlockingIOError:
            return 0
        except OSError:
            return self._hang_up()
        if n == 0:  # a raw tty gives 0 bytes both when idle and when hung up
            return self._idle_or_gone()
        self.arrival_ns = self.clock()
        self.counters.bytes_in += n
        self._drained = n < len(buffer)
        return n

    def _idle_or_gone(self) -> int:
        events = self._poll.poll(0)
        gone = events and events[0][1] & (select.POLLHUP | select.POLLERR | select.POLLNVAL)
        return self._hang_up() if gone else 0

    def _send(self, data: bytes) -> int:
        try:
            n = os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError:
            return self._hang_up()
        self.counters.bytes_out += n
        return n

    def wait(self, timeout_s: float) -> bool:
        return not self.lost and bool(self._poll.poll(max(0.0, timeout_s) * 1000))

    def set_baud(self, baud: int) -> None:
        self.baud = baud
        try:
            self._serial.baudrate = baud
        except _SERIAL_ERRORS as error:
            raise PortError(
                f"port {self.path} can't be set to {baud} baud ({error}). Check its cable, and set a baud the adapter "
                "knows."
            ) from None

    def set_format(self, parity: str, stop_bits: int) -> None:
        self._format = (parity, stop_bits)
        try:
            self._serial.parity, self._serial.stopbits = parity, stop_bits
        except _SERIAL_ERRORS:  # a pty, which carries whole bytes whatever the format
            with contextlib.suppress(*_SERIAL_ERRORS):  # gone meanwhile: reading will tell
                self._serial.parity, self._serial.stopbits = "N", 1

    def control_line(self, name: str) -> bool | None:
        if self.lost:
            return None
        try:
            bits = fcntl.ioctl(self._fd, termios.TIOCMGET, b"\0\0\0\0")
        except (OSError, ValueError):  # no such lines, or closed meanwhile by another thread
            return None
        return bool(int.from_bytes(bits, sys.byteorder) & CONTROL_LINES[name])

    def reopen(self) -> int:
        if not self.lost:
            return _OK
        self._release()
        try:
            self._open()
        except (PortError, *_SERIAL_ERRORS):  # it may go again while it is being opened
            return _LINK_LOST
        self.counters.reopened += 1
        return _OK

    def _release(self) -> None:
        if self._fd >= 0:
            try:
                fcntl.ioctl(self._fd, termios.TIOCNXCL)
            except OSError:
                pass  # the device is gone, and the flag with it
            self._fd = -1
            try:
                self._serial.close()
            except _SERIAL_ERRORS:
                pass  # the device is gone: there is nothing left to release

    def close(self) -> None:
        for _ in range(50):  # a last stop that a full line has held back still goes out
            if self.lost or not (self._torn or self._queued) or self.flush() <= 0:
                break
            time.sleep(0.001)
        super().close()
        self._release()


class UdpTransport(Transport):
    """Datagrams as a byte pipe: sends to ``remote``, or to whoever spoke last when that is None."""

    def __init__(
        self, local: tuple[str, int], remote: tuple[str, int] | None = None, clock: Clock = time.monotonic_ns
    ) -> None:
        super().__init__(f"udp:{local[0]}:{local[1]}", 1e8, clock)
        self.remote = remote
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(local)
        except OSError as error:
            self._socket.close()
            raise PortError(
                f"UDP port {local[1]} on {local[0]} can't be used ({error.strerror}). Another program "
                "may hold it: `ss -lunp` names it; or choose another port in the rig file."
            ) from None
        self._socket.setblocking(False)
        self.local = self._socket.getsockname()

    def fileno(self) -> int:
        return self._socket.fileno()

    def read_into(self, buffer: memoryview) -> int:
        if self.lost:
            return _LINK_LOST
        try:
            n, sender = self._socket.recvfrom_into(buffer)
        except BlockingIOError:
            return 0
        except ConnectionRefusedError:
            return 0  # the other side is not up yet: no hang-up on UDP
        except OSError:
            return self._hang_up()
        self.remote = self.remote or sender
        self.arrival_ns = self.clock()
        self.counters.bytes_in += n
        return n

    def _send(self, data: bytes) -> int:
        if self.remote is None:
            return len(data)  # nobody to talk to yet
        try:
            n = self._socket.sendto(data, self.remote)
        except (BlockingIOError, ConnectionRefusedError):
            return 0
        except OSError as error:
            return self._hang_up() if error.errno in _GONE else 0
        self.counters.bytes_out += n
        return n

    def wait(self, timeout_s: float) -> bool:
        return not self.lost and bool(select.select([self._socket], [], [], max(0.0, timeout_s))[0])

    def close(self) -> None:
        super().close()
        self._socket.close()


def open_transport(port: str, baud: int = 115200, clock: Clock = time.monotonic_ns) -> Transport:
    """A path, or udp://HOST:PORT (send there) or udp://:PORT (listen). Raises PortError."""
    if not port.startswith("udp://"):
        return SerialTransport(port, baud, clock)
    host, _, number = port[len("udp://") :].rpartition(":")
    if not number.isdigit() or not 0 < int(number) < 65536:
        raise PortError(f"{port!r} is no UDP address: write udp://HOST:PORT to send there, udp://:PORT to listen.")
    if host:
        return UdpTransport(("0.0.0.0", 0), (host, int(number)), clock)
    return UdpTransport(("0.0.0.0", int(number)), None, clock)
