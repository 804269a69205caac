"""The three loops as one at a pose: joints coupled by the mass matrix, gains per camera axis, shaping per joint.

A single axis (:mod:`gimbal.tuning.model`) doesn't see that one joint's shaping meets another axis' gain once the roll
joint is far out, nor that a mode moves with the pose. Plant: stages and rotors (six coordinates, springs between), in
modes; torque loop, delay, hold and gyro as there, the hold by its frequency response. Stability by the turns of
det(I + L) (A. G. J. MacFarlane, I. Postlethwaite, Int. J. Control 25(1), 1977).

    python -m gimbal.tuning.coupled torque          # the poses and cases nearest to instability
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from gimbal.config.load import load_rig
from gimbal.config.schema import Rig
from gimbal.frames import AXES, AXIS_INDEX
from gimbal.tuning.hinges import TURN
from gimbal.tuning.margins import BLENDS
from gimbal.tuning.model import Change, Controller, imu_hold, make_axis, mass_matrix, section_response

Array = np.ndarray
POSES_DEG = tuple((r, p) for r in (0.0, 30.0, 45.0, 60.0, 70.0) for p in (-45.0, 0.0, 45.0))  # roll, pitch
CHANGES = {
    "as told": Change(),
    "inertia -30 %": Change(inertia=0.7),
    "inertia +30 %": Change(inertia=1.3),
    "mode -20 %": Change(mode=0.8),
    "mode +20 %": Change(mode=1.2),
    "delay +1 ms": Change(delay_s=1e-3),
}


def axes_in_camera(rig: Rig, angle: Array) -> Array:
    """(3, 3): column k is the axis of joint k (axis index) in camera axes at joint angles (3,) rad."""
    turn, out = np.eye(3), np.zeros((3, 3))
    for name in reversed(rig.kinematic_order):  # from the camera outwards
        k = AXIS_INDEX[name]
        out[:, k] = turn[:, k]
        c, s = math.cos(angle[k]), math.sin(angle[k])
        i, j = (k + 1) % 3, (k + 2) % 3
        R = np.eye(3)
        R[i, i], R[i, j], R[j, i], R[j, j] = c, -s, s, c
        turn = turn @ R.T
    return out


def modes(rig: Rig, angle: Array, change: Change) -> tuple[Array, Array, Array, Array]:
    """Of the rig as it is: (stage, rotor) shapes (3, 6) each, w (6,) rad/s and damping (6,) 1/s of the modes."""
    total = change.inertia * mass_matrix(rig, angle)
    J = axes_in_camera(rig, angle)
    axes = [make_axis(rig, name, None, change) for name in AXES]
    rotor = np.diag([a.motor_inertia for a in axes])
    spring, damper = np.diag([a.spring for a in axes]), np.diag([a.damper for a in axes])
    order = [AXIS_INDEX[n] for n in rig.kinematic_order]
    carried = np.zeros((3, 3))  # a rotor's spin by the joints that carry its stage
    for n, a in enumerate(order):
        for b in order[:n]:
            carried[a, b] = J[:, a] @ J[:, b]
    whole = np.eye(3) + carried
    M = np.zeros((6, 6))
    M[:3, :3] = total - whole.T @ rotor @ whole + carried.T @ rotor @ carried
    M[:3, 3:], M[3:, :3], M[3:, 3:] = carried.T @ rotor, rotor @ carried, rotor
    tie = np.hstack([-np.eye(3), np.eye(3)])
    w2, V = eigh(tie.T @ spring @ tie, M)
    return V[:3], V[3:], np.sqrt(np.maximum(w2, 0.0)), np.diag(V.T @ tie.T @ damper @ tie @ V)


def plant_response(rig: Rig, angle: Array, change: Change, f: Array) -> Array:
    """(n, 3, 3): filtered camera rate (rad/s, C) per joint torque command (N m, axis index) at f (Hz)."""
    axis = make_axis(rig, AXES[0], None, change)
    T, s = 1.0 / axis.rate_hz, 2j * math.pi * f
    wt, wg = 2.0 * math.pi * axis.torque_hz, 2.0 * math.pi * axis.gyro_hz
    chain = np.exp(-s * axis.delay_s) * (1.0 - np.exp(-s * T)) / (s * T)
    chain = chain * wt / (s + wt) * wg * wg / (s * s + math.sqrt(2.0) * wg * s + wg * wg)
    stage, rotor, w, d = modes(rig, angle, change)
    part = s[:, None] / (s[:, None] ** 2 + d * s[:, None] + w * w)
    rate = np.einsum("am,nm,bm->nab", stage, part, rotor)
    return axes_in_camera(rig, angle) @ rate * chain[:, None, None]


@dataclass
class Parts:
    """The controller without the chain, (n, 3) each: per camera axis what comes before the shaping, per joint that."""

    integral: Array
    angle: Array
    rate: Array
    sections: Array
    fast_sections: Array
    gains: Array  # (6, 3): attitude, p, i, and the fast loops'

    def response(self, rig: Rig, angle: Array, blend: float) -> Array:
        """(n, 3, 3): joint torque per camera rate, feedback sign left out."""
        att, p, i, fast_att, fast_p, fast_i = self.gains
        slow, quick = att * self.angle + self.rate, fast_att * self.angle + self.rate
        integral = self.integral * ((1.0 - blend) * i * slow + blend * fast_i * quick)
        to_torque = mass_matrix(rig, angle) @ np.linalg.inv(axes_in_camera(rig, angle))
        out = (1.0 - blend) * self.sections[:, :, None] * to_torque * (p * slow + integral)[:, None, :]
        return out + blend * self.fast_sections[:, :, None] * to_torque * (fast_p * quick + integral)[:, None, :]


def parts(rig: Rig, f: Array) -> Parts:
    """Of a rig's controller at f (Hz)."""
    z = np.exp(2j * math.pi * f / rig.loop_rate_hz)
    d, T = 1.0 / z, 1.0 / rig.loop_rate_hz
    each = [Controller(rig, make_axis(rig, name)) for name in AXES]
    hold = sum(b * d**n for n, b in enumerate(imu_hold(make_axis(rig, AXES[0]))))
    late = each[0].late_share
    angle = hold * T * ((1.0 - late) + late * d) / (1.0 - d)
    shaping = []
    for name in ("sections", "fast_sections"):
        rows = np.array([[section_response(c, z) for c in getattr(e, name)] for e in each])
        shaping.append(np.prod(rows, axis=1).T)
    gains = np.array([[e.attitude, e.p, e.i, e.fast_attitude, e.fast_p, e.fast_i] for e in each]).T
    integral = (T / (1.0 - d))[:, None]
    rate = hold * section_response(each[0].gyro_lp, z)
    return Parts(integral, angle[:, None], rate[:, None] + np.zeros(3), shaping[0], shaping[1], gains)


def grid(rig: Rig) -> Array:
    """Frequencies (Hz), dense about where modes may be."""
    top = 0.49 * rig.loop_rate_hz
    return np.unique(np.concatenate([np.geomspace(0.1, 8.0, 30), np.geomspace(8.0, 130.0, 700),
                                     np.geomspace(130.0, top, 60)]))  # fmt: skip


def nearness(L: Array) -> tuple[bool, float, int]:
    """Whether the loop of return ratio L (n, 3, 3) is stable, the peak of its sensitivity's largest singular value
    (torque scaled by the caller) and where that is."""
    back = np.eye(3) + L
    angle = np.unwrap(np.angle(np.linalg.det(back)))
    least = np.linalg.svd(back, compute_uv=False)[:, -1]
    at = int(np.argmin(least))
    return abs(angle[-1] - angle[0] - 3.0 * TURN) < 2.0, 1.0 / float(least[at]), at


def look(rig: Rig, changes: dict[str, Change] = CHANGES, blends: tuple[float, ...] = BLENDS):  # type: ignore[no-untyped-def]
    """Rows (case, blend, roll, pitch in degrees, stable, peak, Hz) of all poses."""
    f = grid(rig)
    own = parts(rig, f)
    for case, change in changes.items():
        for roll, pitch in POSES_DEG:
            q = np.radians([roll, pitch, 0.0])
            P = plant_response(rig, q, change, f)
            scale = np.sqrt(np.diag(mass_matrix(rig, q)))
            for blend in blends if rig.control.fast else blends[:1]:
                L = own.response(rig, q, blend) @ P
                good, peak, at = nearness(L / scale[:, None] * scale)
                yield case, blend, roll, pitch, good, peak, f[at]


def main(argv: list[str] | None = None) -> int:
    """Entry of ``python -m gimbal.tuning.coupled``; 1 where a case is unstable."""
    p = argparse.ArgumentParser(prog="python -m gimbal.tuning.coupled", description=__doc__.split("\n")[0])
    p.add_argument("rig")
    a = p.parse_args(argv)
    rig, bad = load_rig(a.rig).config, False
    worst: dict[tuple[str, float, float], tuple[bool, float, float, float]] = {}
    for case, blend, roll, pitch, good, peak, hz in look(rig):
        key, was = (case, blend, roll), worst.get((case, blend, roll))
        if was is None or (good, -peak) < (was[0], -was[1]):
            worst[key] = good, peak, hz, pitch
    for (case, blend, roll), (good, peak, hz, pitch) in worst.items():
        word = f"Ms {peak:5.2f}" if good else "UNSTABLE"
        print(f"{case:14s} fast {blend:.2f}  roll {roll:3.0f}  pitch {pitch:4.0f}  {word:9s} at {hz:5.1f} Hz")
        bad = bad or not good
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
