"""The operator's radio (SBUS, CRSF): its channels become typed commands in the inbox, as any other client's are.

It runs beside the loop, never in it. Sticks ask for rates that end after 100 ms by themselves; at failsafe, silence or
an unplugged receiver they end at once. What was lost acts again only after the sticks were seen in their middle
and the arming switch down: by the operator's hand, not by the link coming back. What stops (the stop switch up, the
arming switch put down) acts as soon as it is seen, also when it was thrown while the link was gone.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from firmware_bridge import interface, registry
from firmware_bridge.errors import BridgeError
from firmware_bridge.transport import open_transport
from gimbal.config.schema import Radio, Rig
from gimbal.frames import AXES
from gimbal.records import Mode, Verb
from gimbal.units import DEG

OWNER = 0xFFFFFF01  # of its commands: no process has this number
EXPIRY_NS = 100_000_000
_EVERY_NS = 20_000_000  # rates are sent this often at most
_LAST_ZEROS = 3  # a stick that came back to its middle says so this often
_UP, _DOWN = 0.5, 0.0  # a switch is up beyond the first and down below the second
_RETRY_NS = 100_000_000
_GONE_NS = 20_000_000  # two ticks of the slowest loop: what was asked ends, and is said to have ended


class Order(NamedTuple):
    """One command for ``InboxWriter.send``."""

    verb: Verb
    mode: int = 0
    vector: tuple[float, float, float] = (0.0, 0.0, 0.0)
    life_ns: int = EXPIRY_NS


class Hand:
    """Channels to commands. Pure: rows and times in, orders out."""

    def __init__(self, config: Radio) -> None:
        self.config = config
        self._channels = [getattr(config, f"{axis}_channel") - 1 for axis in AXES]
        self._sign = [-1.0 if axis in config.reverse else 1.0 for axis in AXES]
        self._zeros_left = 0
        self._asked = (0.0, 0.0, 0.0)  # the last rate sent
        self._sent_ns = 0
        self._arm_down = False  # where the arming switch was seen last; it may be put down while the link is gone
        self._lose()

    def _lose(self) -> None:
        self.ready = False  # sticks seen in their middle since the link is there
        self._may_arm = False
        self._stop_was_up = False  # thrown while nobody heard it, it counts when it is first seen
        self._position = self._seen = -1

    def silent(self, now_ns: int) -> list[Order]:
        """The link is gone, by failsafe, silence or an unplugged receiver: what was asked expires, as the log shows.

        Nothing where it has expired already: that would move the camera again.
        """
        left_ns = self._sent_ns + EXPIRY_NS - now_ns
        moving = any(self._asked) and left_ns > 0
        self._lose()
        asked, self._asked, self._zeros_left = self._asked, (0.0, 0.0, 0.0), 0
        return [Order(Verb.RATE, 0, asked, min(_GONE_NS, left_ns))] if moving else []

    def take(self, row: Any, now_ns: int) -> list[Order]:
        """Orders that follow from one RADIO_ROW."""
        if row["failsafe"]:
            return self.silent(now_ns)
        channel: Sequence[float] = row["channel"].tolist()
        orders = self._switches(channel)
        rates = [self._rate(axis, channel) for axis in range(3)]
        if not self.ready:
            self.ready = not any(rates)
            return orders
        return orders + self._sticks(rates, now_ns)

    def _rate(self, axis: int, channel: Sequence[float]) -> float:
        """rad/s about a camera axis, with dead band and expo."""
        if self._channels[axis] < 0:
            return 0.0
        c = self.config
        x = self._sign[axis] * max(-1.0, min(1.0, channel[self._channels[axis]]))
        past = (abs(x) - c.deadband) / (1.0 - c.deadband)
        if past <= 0.0:
            return 0.0
        return math.copysign(c.rate_deg_s * DEG * ((1.0 - c.expo) * past + c.expo * past**3), x)

    def _sticks(self, rates: list[float], now_ns: int) -> list[Order]:
        if self.config.mode_channel and self._position >= 0 and self._mode() not in (Mode.LOCK, Mode.RATE):
            rates = [0.0, 0.0, 0.0]
        if any(rates):
            self._zeros_left = _LAST_ZEROS
        elif self._zeros_left == 0:
            return []  # hands off: somebody else may have control
        if now_ns - self._sent_ns < _EVERY_NS:
            return []
        self._sent_ns = now_ns
        if not any(rates):
            self._zeros_left -= 1
        self._asked = (rates[0], rates[1], rates[2])
        return [Order(Verb.RATE, 0, self._asked)]

    def _mode(self) -> Mode:
        return Mode[self.config.modes[self._position].upper()]

    def _switches(self, channel: Sequence[float]) -> list[Order]:
        c, orders = self.config, []
        if c.stop_channel:
            up = channel[c.stop_channel - 1] > _UP
            if up and not self._stop_was_up:
                orders.append(Order(Verb.STOP))
            self._stop_was_up = up
        if c.arm_channel:
            value = channel[c.arm_channel - 1]
            if value < _DOWN:
                if not self._arm_down:  # stopping needs no centred sticks
                    orders.append(Order(Verb.DISARM))
                self._may_arm = self._arm_down = True
            elif value > _UP:
                if self._may_arm and self.ready:
                    orders.append(Order(Verb.ARM))
                self._may_arm = self._arm_down = False  # up too early: down again first
        if c.mode_channel:
            n = len(c.modes)
            share = (max(-1.0, min(1.0, channel[c.mode_channel - 1])) + 1.0) / 2.0
            position = min(n - 1, int(share * n))
            if position == self._seen and position != self._position:  # twice the same: no switch on its way
                first = self._position < 0
                self._position = position
                if not first:  # where it stands at the start changes nothing
                    orders.append(Order(Verb.MODE, self._mode()))
            self._seen = position
        return orders


class OperatorRadio:
    """The receiver's driver and its thread. ``send`` is ``InboxWriter.send``; without a thread, on a line that
    ``connect`` gives, the caller has it ``look``.

    Raises (on creation only): BridgeError when the port is absent or busy, or nothing is heard on it.
    """

    def __init__(
        self,
        rig: Rig,
        name: str,
        path: str,
        send: Callable[..., Any],
        connect: Callable[[str, int], Any] = open_transport,
        threaded: bool = True,
    ) -> None:
        device = rig.devices[name]
        self.name, self.path, self._send = name, path or device.port, send
        self.hand = Hand(rig.radio)
        self.driver: Any = registry.create_driver(device.driver)
        self.identity = self.driver.open(connect(self.path, device.baud), dict(device.options))
        self._rows = np.zeros(8, interface.RADIO_ROW)
        self._next_try_ns = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="operator radio", daemon=True)
        if threaded:
            self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            if self.driver.transport.lost:
                self._over.wait(1e-9 * _RETRY_NS)
            else:
                self.driver.transport.wait(0.01)
            self.look()

    def look(self) -> None:
        """Carry out what has arrived; look for a lost port. Never waits."""
        count = self.driver.poll(self._rows)
        now_ns = self.driver.transport.clock()
        if count == interface.Status.LINK_LOST:
            self._carry_out(self.hand.silent(now_ns), now_ns)
            if now_ns >= self._next_try_ns:
                self._next_try_ns = now_ns + _RETRY_NS
                self._find_again()
            return
        for row in self._rows[: max(count, 0)]:
            self._carry_out(self.hand.take(row, now_ns), now_ns)

    def _carry_out(self, orders: list[Order], now_ns: int) -> None:
        for order in orders:
            end_ns = now_ns + order.life_ns
            self._send(order.verb, owner=OWNER, deadline_ns=end_ns, mode=order.mode, vector=order.vector)

    def _find_again(self) -> None:
        """The port, once it is there again; the operator's hand decides what then acts."""
        try:
            os.stat(self.path)
            if self.driver.reopen() == 0:
                self.driver.configure()
        except (OSError, BridgeError):
            return  # not yet

    def close(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        self.driver.close()


def radio_names(rig: Rig) -> list[str]:
    """The rig's devices that are radios."""
    return [name for name, device in rig.devices.items() if registry.entry(device.driver).kind == "radio"]
