"""Who is in control: one owner at a time, with a lease; STOP and DISARM are taken from anyone.

A command is acted on once (by sequence) and not after its deadline. An owner that stops sending loses control
after ``lease_s``; until then another's motion commands are refused and counted, so that two hands never fight
over one picture. Rates expire on their own deadline whatever the sender does.
"""

from __future__ import annotations

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.records import Mode, Verb

ARBITER_PARAMS = np.dtype(
    [
        ("lease_ns", "i8"),
        ("rate_expiry_ns", "i8"),
        ("max_rate", "f8"),
        ("stick", "f8"),  # rad/s, a rate beyond takes over from a mode that moves by itself
        ("expo", "f8"),  # 0 to 1: share of the cube in a rate command
    ],
    align=True,
)
ARBITER_STATE = np.dtype(
    [
        ("mode", "i4"),  # Mode asked for
        ("resume", "i4"),  # Mode that goes on when the stick is released, OFF = none
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
        ("path_verb", "i4"),  # this tick: 1 record, 2 end; 0 nothing
        ("path_speed", "f8"),
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
def _change(s, mode):
    s["mode_changed"] = 1
    s["mode"] = mode


@kernel
def _goes_by_itself(mode):
    return mode == Mode.TRACK or mode == Mode.FOLLOW or mode == Mode.POINT or mode == Mode.PATH


@kernel
def _take_rate(p, s, inbox, now_ns):
    """Operator's rates. In a mode that moves by itself a stick near its centre is nobody's wish; beyond, it takes over
    and, released, hands back."""
    largest = 0.0
    for i in range(3):
        x = min(max(inbox["vector"][i], -p["max_rate"]), p["max_rate"])
        share = x / p["max_rate"]
        s["rate_C"][i] = x * (1.0 - p["expo"] + p["expo"] * share * share)
        largest = max(largest, abs(x))
    s["rate_end_ns"] = min(inbox["deadline_ns"], now_ns + p["rate_expiry_ns"])
    s["rate_expired"] = 0
    if s["mode"] == Mode.RATE:
        if s["resume"] != Mode.OFF and largest <= p["stick"]:
            s["rate_end_ns"] = now_ns  # released
    elif _goes_by_itself(s["mode"]):
        if largest > p["stick"]:
            s["resume"] = s["mode"]
            _change(s, Mode.RATE.value)
    else:
        s["resume"] = Mode.OFF.value
        _change(s, Mode.RATE.value)


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
        if Mode.OFF <= inbox["mode"] <= Mode.HOME:
            _change(s, inbox["mode"])
            s["resume"] = Mode.OFF.value
            s["rate_end_ns"] = 0
        else:
            s["refused"] += 1
    elif verb == Verb.RATE:
        _take_rate(p, s, inbox, now_ns)
    elif verb == Verb.POINT:
        s["point_set"] = 1
        for i in range(3):
            s["point_N"][i] = inbox["vector"][i]
    elif verb == Verb.TRIM:
        for i in range(2):
            s["trim"][i] = inbox["vector"][i]
    elif verb == Verb.PATH:
        if inbox["vector"][0] == 2.0:
            s["path_speed"] = min(max(inbox["vector"][1], 0.05), 20.0)
            _change(s, Mode.PATH.value)
            s["resume"] = Mode.OFF.value
        else:
            s["path_verb"] = 1 if inbox["vector"][0] == 1.0 else 2


@kernel
def arbitrate(p, s, now_ns, inbox):
    """Take at most one command from the inbox into the arbiter's state."""
    s["want_arm"] = 0
    s["want_disarm"] = 0
    s["want_ack"] = 0
    s["want_stop"] = 0
    s["mode_changed"] = 0
    s["path_verb"] = 0
    if s["owner"] != 0 and now_ns >= s["lease_end_ns"]:
        s["owner"] = 0
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
        if s["mode"] == Mode.RATE and s["resume"] != Mode.OFF:  # the stick is back: what went by itself goes on
            _change(s, s["resume"])
            s["resume"] = Mode.OFF.value
            s["rate_expired"] = 0
