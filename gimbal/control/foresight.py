"""What the carrier will do when the torque acts, learned from what it has been doing.

Torque is fed forward some milliseconds late: at a rotor's 43 Hz that is as bad as not at all. Three signals (the
specific force's axes, or the base's acceleration as the joints see it) are each foreseen by a linear filter over the
last 40 taps, whose weights are learned in flight: least squares with forgetting, one conjugate-gradient step for every
sample taken in (P. S. Chang, A. N. Willson, IEEE Trans. Signal Processing 48(2), 2000, "CG1"). So tones of rotor or
engine, buffeting and vibration of any shape need no configured frequency. Learned is on signals filtered by how the
loops let a torque error through: the weights are the best where it is seen. The signals are the carrier's doing, not
the camera's error: no loop is closed. A forecast is believed only while, checked against what came, it is better than
what would be fed forward in its place.
"""

from __future__ import annotations

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.filters import biquad, biquad_settle
from gimbal.kernels.quat import load3

TAPS = 40
PHASES = 8  # ticks from tap to tap at most
LATEST = 48  # taps further back than the filter's first at most: the horizon
SEEN = TAPS + LATEST
LINE = 128  # ticks of measured force waiting for what comes

FORESIGHT_PARAMS = np.dtype(
    [
        ("on", "u1"),
        ("turn", "i8"),  # learns in ticks turn, turn + 2, turn + 4 of every six
        ("slow", "f8"),  # low-pass of what is left out of learning (gravity, turns; a swing), per tick
        ("ticks", "i8"),  # from tap to tap
        ("horizon", "i8"),  # ticks from a forecast to the sample that tells,
        ("less", "f8"),  # less this share of one
        ("late_taps", "i8"),  # the horizon in taps
        ("late_phase", "i8"),  # and ticks
        ("felt", "f8", (2, 5)),  # sections: what of a signal is foreseen
        ("weight", "f8", (2, 5)),  # sections: how a torque error is seen
        ("ridge", "f8"),  # mean square of white noise in the taps, per training step
        ("forget", "f8"),  # what is kept of the statistics from one training step to the next
        ("check", "f8"),  # of the errors' mean square, per training step
        ("fade", "f8"),  # share that a forecast gains or loses per training step
    ],
    align=True,
)
FORESIGHT_STATE = np.dtype(
    [
        ("tick", "i8"),
        ("phase", "i8"),  # of the tick, from 0 to one tap later
        ("turn", "i8"),  # of the tick, from 0 to 5
        ("felt", "f8", (3, 2, 2)),
        ("mean", "f8", 3),  # in the signals' units, as all below
        ("at", "i8", (PHASES, 2)),  # where the newest of each phase stands in the two lines that follow,
        ("taps", "f8", (3, PHASES, 2 * TAPS)),  # less the mean, newest first; twice, so that all lie in a row
        ("seen", "f8", (3, PHASES, 2 * SEEN)),  # the same as seen through ``weight``
        ("sections", "f8", (3, 2, 2, 2)),
        ("line", "f8", (3, 2, LINE)),  # as seen, by tick: the signal, what stands in for its forecast
        ("R", "f8", (3, TAPS, TAPS)),  # correlation of the taps
        ("g", "f8", (3, TAPS)),  # r - R w: what of the outcome's correlation with the taps the weights leave
        ("p", "f8", (3, TAPS)),  # the step's direction
        ("w", "f8", (3, TAPS)),
        ("Rp", "f8", TAPS),  # scratch
        ("error", "f8", (3, 2)),  # mean square, as seen: of the forecast, of what stands in for it
        ("steps", "i8", 3),
        ("share", "f8", 3),  # of the forecast in what is fed forward
        ("out", "f8", 3),
    ],
    align=True,
)


@kernel
def _dot(a, b):
    """Of TAPS numbers, in four sums: an addition waits for the one before it."""
    s0 = s1 = s2 = s3 = 0.0
    for i in range(0, TAPS, 4):
        s0 += a[i] * b[i]
        s1 += a[i + 1] * b[i + 1]
        s2 += a[i + 2] * b[i + 2]
        s3 += a[i + 3] * b[i + 3]
    return (s0 + s1) + (s2 + s3)


@kernel
def _forget_all(s, c):
    s["error"][c, 0] = s["error"][c, 1] = s["share"][c] = 0.0
    s["steps"][c] = 0
    for i in range(TAPS):
        s["g"][c, i] = s["p"][c, i] = s["w"][c, i] = 0.0
        for j in range(TAPS):
            s["R"][c, i, j] = 0.0


@kernel
def _step(p, s, c, x, outcome):
    """One conjugate-gradient step on taps x (TAPS,) and what came of them; returns the error of the forecast."""
    R, g, d, w, Rp = s["R"][c], s["g"][c], s["p"][c], s["w"][c], s["Rp"]
    keep, ridge = p["forget"], p["ridge"]
    error, gg, pg = outcome - _dot(w, x), _dot(g, g), _dot(d, g)
    for i in range(TAPS):
        Rp[i] = 0.0
    for i in range(0, TAPS, 4):  # four rows at a time: Rp is loaded and stored less often
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        d0, d1, d2, d3 = d[i], d[i + 1], d[i + 2], d[i + 3]
        for j in range(TAPS):
            r0 = keep * R[i, j] + x0 * x[j]
            r1 = keep * R[i + 1, j] + x1 * x[j]
            r2 = keep * R[i + 2, j] + x2 * x[j]
            r3 = keep * R[i + 3, j] + x3 * x[j]
            R[i, j], R[i + 1, j], R[i + 2, j], R[i + 3, j] = r0, r1, r2, r3
            Rp[j] += (d0 * r0 + d1 * r1) + (d2 * r2 + d3 * r3)
    for i in range(TAPS):
        R[i, i] += ridge
        Rp[i] += d[i] * ridge
    pRp = _dot(d, Rp)
    step = 0.98 * pg / pRp if pRp > 0.0 else 0.0
    for i in range(TAPS):
        Rp[i] = keep * g[i] - step * Rp[i] + x[i] * error - ridge * w[i]  # g from here on
        w[i] += step * d[i]
    new = _dot(Rp, Rp)
    turn = new - _dot(g, Rp)
    for i in range(TAPS):
        g[i] = Rp[i]
    turn = max(turn / gg, 0.0) if gg > 0.0 else 0.0
    for i in range(TAPS):
        d[i] = g[i] + turn * d[i]
    if not new < 1e60:  # what is no number doesn't stay
        _forget_all(s, c)
    return error


@kernel
def _check(p, s, c, error, unforeseen):
    """Believe the forecast by and by while it is better than none."""
    if not abs(error) + abs(unforeseen) < 1e6:
        _forget_all(s, c)
        return
    k = p["check"]
    s["error"][c, 0] += k * (error * error - s["error"][c, 0])
    s["error"][c, 1] += k * (unforeseen * unforeseen - s["error"][c, 1])
    s["steps"][c] += 1
    better = s["steps"][c] * k > 1.0 and s["error"][c, 0] < 0.9 * s["error"][c, 1]
    s["share"][c] = min(max(s["share"][c] + (p["fade"] if better else -p["fade"]), 0.0), 1.0)


@kernel
def _felt(p, memory, x, first):
    if first:
        return biquad_settle(p["felt"][1], memory[1], biquad_settle(p["felt"][0], memory[0], x))
    return biquad(p["felt"][1], memory[1], biquad(p["felt"][0], memory[0], x))


@kernel
def _seen(p, sections, x):
    return biquad(p["weight"][1], sections[1], biquad(p["weight"][0], sections[0], x))


@kernel
def foresee(p, s, signal, instead):
    """One tick: take in three signals, give what to expect of them when the torque of this tick acts.

    Args:
        signal: as measured now.
        instead: what is fed forward where a forecast is not believed: the best that is known without it.

    Returns:
        A tuple in the signals' units.
    """
    if not p["on"] or not abs(signal[0]) + abs(signal[1]) + abs(signal[2]) < 1e6:
        return instead
    late, tick, phase, turn = p["horizon"], s["tick"], s["phase"], s["turn"] - p["turn"]
    then = phase - p["late_phase"]
    then += p["ticks"] if then < 0 else 0
    at, sizes = s["at"], (TAPS, SEEN)
    for k in range(2):
        at[phase, k] = (at[phase, k] if at[phase, k] > 0 else sizes[k]) - 1
    newest, newest_seen, first = at[phase, 0], at[phase, 1], p["late_taps"] + at[then, 1]
    may_learn = tick > late + p["ticks"] * TAPS
    for c in range(3):
        felt = _felt(p, s["felt"][c], signal[c], tick == 0)
        if tick == 0:
            s["mean"][c] = felt
        u = felt - s["mean"][c]
        other = instead[c] - s["mean"][c]
        s["mean"][c] += p["slow"] * u
        seen = _seen(p, s["sections"][c, 0], u)
        s["taps"][c, phase, newest] = s["taps"][c, phase, newest + TAPS] = u
        s["seen"][c, phase, newest_seen] = s["seen"][c, phase, newest_seen + SEEN] = seen
        before = s["line"][c, 0, (tick - 1) % LINE]
        s["line"][c, 0, tick % LINE] = seen
        s["line"][c, 1, tick % LINE] = _seen(p, s["sections"][c, 1], other)
        if turn == 2 * c and may_learn:
            outcome = seen + p["less"] * (before - seen)
            error = _step(p, s, c, s["seen"][c, then, first : first + TAPS], outcome)
            _check(p, s, c, error, outcome - s["line"][c, 1, (tick - late) % LINE])
        forecast = _dot(s["w"][c], s["taps"][c, phase, newest : newest + TAPS])
        s["out"][c] = instead[c] + s["share"][c] * (forecast - other)
    s["tick"] += 1
    s["phase"] = phase + 1 if phase + 1 < p["ticks"] else 0
    s["turn"] = s["turn"] + 1 if s["turn"] < 5 else 0
    return load3(s["out"])
