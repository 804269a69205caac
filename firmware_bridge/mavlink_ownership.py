"""Who may command a MAVLink gimbal: primary and secondary control, as the gimbal protocol v2 has them. Pure."""

from __future__ import annotations

import math

Peer = tuple[int, int]  # system, component
NOBODY: Peer = (0, 0)
LEAVE, SELF, RELEASE = -1, -2, -3


class Ownership:
    """The primary commands; the secondary only while the primary has not for ``quiet_s``. Anyone may take control:
    the protocol leaves it to people to agree, and says by GIMBAL_MANAGER_STATUS who has it."""

    def __init__(self, quiet_s: float = 2.0) -> None:
        self.quiet_ns = int(1e9 * quiet_s)
        self.primary = self.secondary = NOBODY
        self._heard_ns = -self.quiet_ns

    def configure(self, sender: Peer, primary: tuple[float, float], secondary: tuple[float, float]) -> bool:
        """One MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE; each pair of ids as it came. False: these ids mean nothing."""
        new_primary = self._resolve(sender, primary, self.primary)
        new_secondary = self._resolve(sender, secondary, self.secondary)
        if new_primary is None or new_secondary is None:
            return False
        if new_primary != self.primary:
            self._heard_ns = -self.quiet_ns
        self.primary = new_primary
        self.secondary = NOBODY if new_secondary == new_primary else new_secondary
        return True

    @staticmethod
    def _resolve(sender: Peer, asked: tuple[float, float], now: Peer) -> Peer | None:
        system, component = asked
        if not (math.isfinite(system) and math.isfinite(component)):
            return now if math.isnan(system) and math.isnan(component) else None
        if system == LEAVE or component == LEAVE:
            return now
        if system == SELF or component == SELF:
            return sender
        if system == RELEASE or component == RELEASE:
            return NOBODY if now == sender else now
        if 0 <= system <= 255 and 0 <= component <= 255:
            return (int(system), int(component)) if system else NOBODY
        return None

    def may(self, sender: Peer, now_ns: int) -> bool:
        """May this peer move the gimbal now? Asking counts as commanding."""
        if sender == self.primary and sender != NOBODY:
            self._heard_ns = now_ns
            return True
        return sender == self.secondary and sender != NOBODY and now_ns - self._heard_ns >= self.quiet_ns
