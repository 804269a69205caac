"""Puts emulators on ptys or in-process lines and runs them in order of time, from one loop, without threads.

The same ``Host`` serves real time (``run``, or ``service(time.monotonic_ns())`` from a loop of the caller's) and
lock-step (``service(sim_now)``): every event (bytes arriving at a device, a device's own schedule) happens at its own
time, and ``advance(t_ns)`` brings the physics there first.
"""

from __future__ import annotations

import heapq
import os
import select
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from firmware_bridge.emulators.base import NEVER, Emulator
from firmware_bridge.emulators.line import Faults, FreeLine, Line
from firmware_bridge.emulators.ports import MemoryPort, PtyPort
from firmware_bridge.memory_transport import MemoryTransport

Port = PtyPort | MemoryPort


@dataclass
class Wire:
    """One emulator, its port, and a line each way."""

    name: str
    emulator: Emulator
    port: Port
    line_in: Line
    line_out: Line
    faults_in: Faults = field(default_factory=Faults)
    faults_out: Faults = field(default_factory=Faults)
    frozen: bool = False  # the device hangs: takes bytes, answers nothing, its own schedule stands still
    _in: deque[tuple[int, float, bytes]] = field(default_factory=deque)
    _out: deque[tuple[int, float, bytes]] = field(default_factory=deque)
    _later: list[tuple[int, int, bytes]] = field(default_factory=list)  # a heap: what the device will begin to send
    _order: int = 0

    def take_input(self, now_ns: int) -> None:
        for t_ns, data in self.port.read(now_ns):
            for due_ns, frame in self.faults_in.apply(t_ns, data):
                self._in.append((*self.line_in.schedule(due_ns, len(frame)), frame))

    def next_event_ns(self) -> int:
        """The next time the device has something to do."""
        own = NEVER if self.frozen else self.emulator.next_ns()
        if self._later:
            own = min(own, self._later[0][0])
        return min(own, _end_ns(self._in[0])) if self._in else own

    def next_release_ns(self) -> int:
        return _end_ns(self._out[0]) if self._out else NEVER

    def do_event(self, t_ns: int) -> None:
        """What falls due at t_ns, a time that next_event_ns gave."""
        if self._later and self._later[0][0] <= t_ns:
            self._put_on_line(*heapq.heappop(self._later)[::2])
        elif self._in and _end_ns(self._in[0]) <= t_ns:
            data = self._in.popleft()[2]
            if not self.frozen:
                self.emulator.feed(data, t_ns)
        elif not self.frozen:
            self.emulator.service(t_ns)
        out = self.emulator.out
        while out:
            sent_ns, data = out.popleft()
            if sent_ns <= t_ns:
                self._put_on_line(sent_ns, data)
            else:
                self._order += 1
                heapq.heappush(self._later, (sent_ns, self._order, data))

    def _put_on_line(self, sent_ns: int, data: bytes) -> None:
        for due_ns, frame in self.faults_out.apply(sent_ns, data):
            if frame:
                self._out.append((*self.line_out.schedule(due_ns, len(frame)), frame))

    def release(self, now_ns: int) -> None:
        """Hand over what the line has carried by now. In memory each frame carries its own time, so all of it goes."""
        if isinstance(self.port, MemoryPort):
            for entry in self._out:
                self.port.write(entry[2], _end_ns(entry))
            self._out.clear()
            return
        ready = []
        while self._out and _end_ns(self._out[0]) <= now_ns:
            ready.append(self._out.popleft()[2])
        if self._out:
            start, byte_ns, data = self._out[0]
            n = int((now_ns - start) / byte_ns) if byte_ns and now_ns > start else 0
            if n > 0:
                ready.append(data[:n])
                self._out[0] = (int(start + n * byte_ns), byte_ns, data[n:])
        if ready:
            self.port.write(b"".join(ready), now_ns)

    def unplug(self, now_ns: int) -> None:
        """Pull the cable: what is on the line is lost."""
        self.port.disconnect()
        for waiting in (self._in, self._out, self._later):
            waiting.clear()
        self.emulator.power_down(now_ns)

    def replug(self, now_ns: int) -> None:
        self.port.connect()
        self.emulator.power_up(now_ns)


class Host:
    """Several emulators under one clock."""

    def __init__(self, folder: Path | str | None = None, advance: Callable[[int], None] | None = None) -> None:
        """folder: where ptys are linked by name. advance: brings the physics to a time, before any event there."""
        self.folder = None if folder is None else Path(folder)
        self.advance = advance
        self.wires: dict[str, Wire] = {}

    def add_pty(self, name: str, emulator: Emulator, make: Callable[[], Line] = FreeLine) -> Wire:
        """Open a pty for the emulator and link it as folder/name. ``make`` gives a line, once each way."""
        if self.folder is None:
            raise ValueError("this host was given no folder to link ptys in")
        wire = Wire(name, emulator, PtyPort(self.folder / name), make(), make())
        self.wires[name] = wire
        emulator.power_up(time.monotonic_ns())
        return wire

    def add_memory(self, name: str, emulator: Emulator, clock: Callable[[], int],
                   make: Callable[[], Line] = FreeLine) -> tuple[Wire, MemoryTransport]:  # fmt: skip
        """The emulator on an in-process line; the transport is the host's end. A SimClock is advanced by its wait()."""
        port = MemoryPort(clock)
        wire = Wire(name, emulator, port, make(), make())
        self.wires[name] = wire
        emulator.power_up(clock())
        port.host_end.pump = self._pump(clock)
        return wire, port.host_end

    def _pump(self, clock: Callable[[], int]) -> Callable[[int], None]:
        def pump(until_ns: int) -> None:
            if isinstance(clock, SimClock):
                clock.now_ns = until_ns
            self.service(clock())

        return pump

    def service(self, now_ns: int) -> int:
        """Let everything up to now happen; returns when the host wants to be called next."""
        wires = list(self.wires.values())
        for wire in wires:
            wire.take_input(now_ns)
        while True:
            t_ns, index = min((wire.next_event_ns(), i) for i, wire in enumerate(wires)) if wires else (NEVER, 0)
            if t_ns > now_ns:
                break
            if self.advance:
                self.advance(t_ns)
            wires[index].do_event(t_ns)
        if self.advance:
            self.advance(now_ns)
        for wire in wires:
            wire.release(now_ns)
        return min([t_ns, *(wire.next_release_ns() for wire in wires)])

    def run(self, stop: Callable[[], bool], max_sleep_s: float = 0.02) -> None:
        """Serve in real time until ``stop()`` is true."""
        while not stop():
            next_ns = self.service(time.monotonic_ns())
            fds = [wire.port.fileno() for wire in self.wires.values() if wire.port.fileno() >= 0]
            sleep_s = min(max_sleep_s, max(0.0, (next_ns - time.monotonic_ns()) * 1e-9))
            select.select(fds, [], [], sleep_s)  # unlike poll, it knows parts of a millisecond

    def close(self) -> None:
        """Close every port and remove the links."""
        for wire in self.wires.values():
            wire.port.disconnect()


class SimClock:
    """A clock that is set, not read."""

    def __init__(self, now_ns: int = 1_000_000_000) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


def _end_ns(entry: tuple[int, float, bytes]) -> int:
    start, byte_ns, data = entry
    return int(start + byte_ns * len(data))


def link_dir(path: Path | str) -> Path:
    """The folder for the links, made if absent."""
    folder = Path(path)
    os.makedirs(folder, exist_ok=True)
    return folder
