"""Gain, phase, delay and disk margins of a rig's loops, and the refusal of a config that falls under them.

The margins are read off the exact frequency response of the sampled loop; python-control's closed-loop poles say
whether they mean anything. Disk margin: P. Seiler, A. Packard, P. Gahinet, An Introduction to Disk Margins, IEEE
Control Systems Magazine 40(5), 2020, skew 0. This module's import is light (no scipy, no control): results are kept
in the cache folder by the config's hash, and a miss is computed in a process of its own where the caller asks so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.config.schema import Rig
from gimbal.errors import ConfigError
from gimbal.frames import AXES

LEAST_GAIN_DB, LEAST_PHASE_DEG, MOST_MS = 6.0, 35.0, 2.0
ROUNDING = 0.005  # a figure that prints as the limit is at the limit
GRID = 1500
LOWEST_HZ = 0.05
HELD_TO = ("level", "most inertia")  # cases that must keep the limits; at other poses stable is enough
POSES = ("level", "most inertia", "least inertia")
BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of the fast loops that are looked at
PACKAGE = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Margins:
    """Of one axis in one case. Gain both ways: the nearer of more and less gain to instability."""

    axis: str
    case: str
    stable: bool
    gain_db: float
    phase_deg: float
    delay_ms: float
    ms: float
    disk: float
    disk_gain_db: float
    disk_phase_deg: float
    crossover_hz: float
    blend: float = 0.0  # share of the fast loops

    def good(self) -> bool:
        """At least 6 dB, 35 degrees and Ms of 2 at most."""
        wide = self.gain_db >= LEAST_GAIN_DB * (1.0 - ROUNDING) and self.phase_deg >= LEAST_PHASE_DEG * (1.0 - ROUNDING)
        return self.stable and wide and self.ms <= MOST_MS * (1.0 + ROUNDING)

    def text(self) -> str:
        """One line of figures."""
        name = f"{self.axis:5s} {self.case:16s} " + (f"fast {self.blend:.2f} " if self.blend else "")
        if not self.stable:
            return name + "unstable"
        return (
            f"{name}{self.gain_db:5.1f} dB {self.phase_deg:5.1f} deg {self.delay_ms:6.2f} ms "
            f"Ms {self.ms:5.2f}  disk {self.disk:.2f} ({self.disk_gain_db:.1f} dB, {self.disk_phase_deg:.0f} deg)  "
            f"crossover {self.crossover_hz:.1f} Hz"
        )


def grid_hz(rig: Rig) -> np.ndarray:
    """Frequencies (Hz), log-spaced and dense about the modes, up to just under half the loop's rate."""
    top = 0.499 * rig.loop_rate_hz
    parts = [np.geomspace(LOWEST_HZ, top, GRID)]
    parts += [np.geomspace(0.6 * f, 1.6 * f, 300) for f in rig.structure.mode_hz if 1.6 * f < top]
    return np.unique(np.concatenate(parts))


def _crossings(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Zeros of y along the grid: w, x there (linear between its points), and the sign of y's slope."""
    at = np.nonzero((y[:-1] >= 0.0) != (y[1:] >= 0.0))[0]
    f = y[at] / (y[at] - y[at + 1])
    return w[at] + f * (w[at + 1] - w[at]), x[at] + f * (x[at + 1] - x[at]), np.sign(y[at + 1] - y[at])


def of_loop(L: np.ndarray, w: np.ndarray, stable: bool, axis: str, case: str, blend: float = 0.0) -> Margins:
    """Margins of a return ratio L at w (rad/s), and whether its closed loop is stable at all."""
    log_gain, angle = np.log(np.abs(L)), np.unwrap(np.angle(L))
    _, at_180, _ = _crossings(log_gain, np.where(L.real < 0.0, L.imag, np.nan), w)
    w_c, phase, slope = _crossings(angle, log_gain, w)
    above = (phase + math.pi) % (2.0 * math.pi)  # what a delay may turn before -180 degrees
    sensitivity = 1.0 / (1.0 + L)
    disk = 1.0 / float(np.abs(sensitivity - 0.5).max())  # S - T over 2
    reach = (1.0 + 0.5 * disk) / (1.0 - 0.5 * disk) if disk < 2.0 else math.inf
    return Margins(
        axis,
        case,
        stable,
        20.0 / math.log(10.0) * float(np.min(np.abs(at_180[np.isfinite(at_180)]), initial=math.inf)),
        math.degrees(float(np.min(np.minimum(above, 2.0 * math.pi - above), initial=math.inf))),
        1e3 * float(np.min(above / w_c, initial=math.inf)),
        float(np.abs(sensitivity).max()),
        disk,
        20.0 * math.log10(reach) if disk < 2.0 else math.inf,
        math.degrees(2.0 * math.atan(0.5 * disk)),
        float(w_c[slope < 0.0][0] / (2.0 * math.pi)) if np.any(slope < 0.0) else 0.0,
        blend,
    )


def cases(rig: Rig) -> list[tuple[str, str, Any, Any]]:
    """(axis, case, axis the controller was given, axis as it is): the poses, then the rig that isn't what was said."""
    from gimbal.tuning.model import Change, inertia_range, make_axis

    wrong = {
        "inertia -30 %": Change(inertia=0.7),
        "inertia +30 %": Change(inertia=1.3),
        "mode -20 %": Change(mode=0.8),
        "mode +20 %": Change(mode=1.2),
        "delay +1 ms": Change(delay_s=1e-3),
    }
    out = []
    for name, (least, zero, most) in inertia_range(rig).items():
        for case, inertia in (("level", None), ("least inertia", least), ("most inertia", most)):
            if inertia is None or abs(inertia / zero - 1.0) > 0.02:
                axis = make_axis(rig, name, inertia)
                out.append((name, case, axis, axis))
        out += [(name, case, make_axis(rig, name), make_axis(rig, name, None, c)) for case, c in wrong.items()]
    return out


def all_margins(rig: Rig) -> list[Margins]:
    """Margins of every axis and case: "level", other poses, then a rig that isn't what its config says.

    Where there are fast loops, each at every share of BLENDS.
    """
    from gimbal.tuning.model import Controller, loop_poles, loop_response

    w = 2.0 * math.pi * grid_hz(rig)
    z = np.exp(1j * w / rig.loop_rate_hz)
    out = []
    for name, case, given, real in cases(rig):
        own = Controller(rig, given)
        for blend in BLENDS if rig.control.fast is not None else BLENDS[:1]:
            controller = own.at(blend)
            stable = bool(np.max(np.abs(loop_poles(real, controller))) < 1.0 - 1e-9)
            out.append(of_loop(loop_response(real, controller, z), w, stable, name, case, blend))
    return out


def refused(margins: list[Margins]) -> list[Margins]:
    """Those for which a config is refused: low margins as given, or unstable at another pose.

    Where fast loops have a share, also unstable on a rig that isn't what its config says.
    """
    return [m for m in margins if not (m.good() if m.case in HELD_TO else m.stable or not (m.case in POSES or m.blend))]


def _key(rig: Rig) -> str:
    digest = hashlib.sha256(rig.model_dump_json().encode())
    rooms = [PACKAGE / room for room in ("tuning", "config", "control", "kernels")]
    for path in sorted(p for room in rooms for p in room.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


def _isolated(rig: Rig) -> list[Margins]:
    """all_margins in a process of its own: the caller stays free of scipy."""
    command = [sys.executable, "-m", "gimbal.tuning.margins"]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(command, input=rig.model_dump_json(), capture_output=True, text=True, env=env, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"the margins of rig {rig.name!r} could not be computed: {last}")
    return [Margins(**m) for m in json.loads(done.stdout)]


def known_margins(rig: Rig, isolated: bool = False) -> list[Margins]:
    """all_margins, from the cache folder where they were computed before."""
    from gimbal.kernels.build import cache_root

    file = cache_root() / "margins" / f"{_key(rig)}.json"
    try:
        return [Margins(**m) for m in json.loads(file.read_text())]
    except (OSError, ValueError, TypeError):
        pass
    found = _isolated(rig) if isolated else all_margins(rig)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps([dataclasses.asdict(m) for m in found]))
        part.replace(file)
    return found


def check(rig: Rig, isolated: bool = False) -> list[Margins]:
    """Margins of a rig's loops; a rig under the limits is refused unless [control] accept_low_margins is true.

    Args:
        isolated: compute in a process of its own when they aren't known yet.

    Raises:
        ConfigError: 6 dB, 35 degrees or Ms 2.0 isn't kept, with the figures and the path of a Bode plot.
    """
    if rig.control.output != "torque":
        return []  # the fast loops are the devices' own
    found = known_margins(rig, isolated)
    low = refused(found)
    if not low or rig.control.accept_low_margins:
        return found
    figures = "; ".join(" ".join(m.text().split()) for m in low)
    below = sorted({m.axis for m in low if m.crossover_hz > 0.8 * rig.structure.mode_hz[AXES.index(m.axis)]})
    hint = f" The flexible mode of {', '.join(below)} lies within the loop's bandwidth." if below else ""
    raise ConfigError(
        f"Rig {rig.name!r} is refused: its loops keep less than {LEAST_GAIN_DB:g} dB, {LEAST_PHASE_DEG:g} degrees and "
        f"Ms {MOST_MS:g}: {figures}.{hint} {_plot_words(rig, isolated)} Lower attitude_gain_1_s, rate_gain_1_s or "
        "integral_gain_1_s2 of that axis in [control], move its notches onto structure.mode_hz, or shorten "
        "delay.sample_to_torque_ms; accept_low_margins = true in [control] flies it as it is."
    )


def _plot_words(rig: Rig, isolated: bool) -> str:
    from gimbal.kernels.build import cache_root

    path = cache_root() / "margins" / f"bode-{rig.name}.png"
    if isolated:
        return f"`gimbal sim bench --rig` with this rig draws its Bode plot to {path}."
    try:
        bode_plot(rig, path)
    except OSError as error:
        return f"Its Bode plot could not be written to {path} ({error.strerror})."
    return f"Bode plot: {path}."


def bode_plot(rig: Rig, path: Path) -> None:
    """Gain and phase of every loop as given, and its sensitivity, as a picture.

    Raises:
        OSError: the file can't be written.
    """
    from matplotlib.figure import Figure

    from gimbal.tuning.model import Controller, loop_response, make_axis

    f = grid_hz(rig)
    z = np.exp(2j * math.pi * f / rig.loop_rate_hz)
    figure = Figure(figsize=(8, 9), layout="constrained")
    gain, phase, peak = figure.subplots(3, 1, sharex=True)
    for name in AXES:
        axis = make_axis(rig, name)
        L = loop_response(axis, Controller(rig, axis), z)
        gain.semilogx(f, 20.0 * np.log10(np.abs(L)), label=name)
        angle = np.degrees(np.unwrap(np.angle(L)))
        phase.semilogx(f, angle - 360.0 * round((angle[0] + 180.0) / 360.0))
        peak.semilogx(f, 1.0 / np.abs(1.0 + L))
    gain.set(ylabel="loop gain, dB", ylim=(-60, 60), title=f"rig {rig.name}: loops broken at the torque command")
    gain.legend()
    gain.axhline(0.0, color="k", lw=0.6)
    phase.set(ylabel="phase, deg", ylim=(-720, 0))
    phase.axhline(-180.0, color="k", lw=0.6)
    peak.set(ylabel="sensitivity |S|", xlabel="Hz", ylim=(0, 4))
    peak.axhline(MOST_MS, color="r", lw=0.8)
    for part in (gain, phase, peak):
        part.grid(True, which="both", lw=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    print(json.dumps([dataclasses.asdict(m) for m in all_margins(Rig.model_validate_json(sys.stdin.read()))]))
