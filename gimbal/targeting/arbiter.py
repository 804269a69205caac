"""Who is in control: one owner at a time, with a lease; STOP and DISARM are taken from anyone.

A command is acted on once (by sequence) and not after its deadline. An owner that stops sending loses control
after ``lease_s``; until then another's motion commands are refused and counted, so that two hands never fight
over one picture. Rates expire on their own deadline whatever the sender does.
"""

from __future__ import annotations

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.records import Mode, Verb

ARBITER_PARAMS = np.dtype([("lease_ns", "i8"), ("rate_expiry_ns", "i8"), ("max_rate", "f8")], align=True)
ARBITER_STATE = np.dtype(
    [
        ("mode", "i4"),  # Mode asked for
        ("owner", "u4"),
        ("lease_end_ns", "i8"),
        ("last_seq", "u8"),
        ("refused", "u4"),
        ("rate_C", "f8", 3),
        ("rate_end_ns", "i8"),
        ("rate_expired", "u1"),
        ("mode_changed", "u1"),  # this tick
        ("point_N", "f8", 3),
        ("point_set", "u1"),
        ("trim", "f8", 2),
        ("stop_count", "u8"),
        ("started", "u1"),
        # asked of the supervisor this tick
        ("want_arm", "u1"),
        ("want_disarm", "u1"),
        ("want_ack", "u1"),
        ("want_stop", "u1"),
    ],
    align=True,
)


@kernel
def _take_motion(p, s, inbox, now_ns):
    """A command that moves the picture: needs the control lease."""
    if s["owner"] != inbox["owner"] and s["owner"] != 0 and now_ns < s["lease_end_ns"]:
        s["refused"] += 1
        return
    s["owner"] = inbox["owner"]
    s["lease_end_ns"] = now_ns + p["lease_ns"]
    verb = inbox["verb"]
    if verb == Verb.MODE:
        if Mode.OFF <= inbox["mode"] <= Mode.STOW or inbox["mode"] == Mode.POINT or inbox["mode"] == Mode.HOME:
            s["mode_changed"] = 1
            s["mode"] = inbox["mode"]
            s["rate_end_ns"] = 0
        else:
            s["refused"] += 1
    elif verb == Verb.RATE:
        for i in range(3):
            s["rate_C"][i] = min(max(inbox["vector"][i], -p["max_rate"]), p["max_rate"])
        s["rate_end_ns"] = min(inbox["deadline_ns"], now_ns + p["rate_expiry_ns"])
        s["rate_expired"] = 0
        if s["mode"] != Mode.RATE:
            s["mode_changed"] = 1
            s["mode"] = Mode.RATE
    elif verb == Verb.POINT:
        s["point_set"] = 1
        for i in range(3):
            s["point_N"][i] = inbox["vector"][i]
    elif verb == Verb.TRIM:
        for i in range(2):
            s["trim"][i] = inbox["vector"][i]


@kernel
def arbitrate(p, s, now_ns, inbox):
    """Take at most one command from the inbox into the arbiter's state."""
    s["want_arm"] = 0
    s["want_disarm"] = 0
    s["want_ack"] = 0
    s["want_stop"] = 0
    s["mode_changed"] = 0
    if not s["started"]:
        s["started"] = 1
        s["mode_changed"] = 1
    if inbox["stop_count"] != s["stop_count"]:
        s["stop_count"] = inbox["stop_count"]
        s["want_stop"] = 1
    if inbox["seq"] > s["last_seq"]:
        s["last_seq"] = inbox["seq"]
        verb = inbox["verb"]
        if inbox["deadline_ns"] < now_ns:
            s["refused"] += 1
        elif verb == Verb.ARM:
            s["want_arm"] = 1
        elif verb == Verb.DISARM:
            s["want_disarm"] = 1
        elif verb == Verb.ACK:
            s["want_ack"] = 1
        elif verb == Verb.STOP:
            s["want_stop"] = 1
        else:
            _take_motion(p, s, inbox, now_ns)
    if now_ns >= s["rate_end_ns"]:
        if s["mode"] == Mode.RATE and (s["rate_C"][0] != 0.0 or s["rate_C"][1] != 0.0 or s["rate_C"][2] != 0.0):
            s["rate_expired"] = 1
        for i in range(3):
            s["rate_C"][i] = 0.0
