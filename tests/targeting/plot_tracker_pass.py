"""One pass of the tracker as a picture: where the subject was, what was measured, what was predicted, and the frame.

    python -m tests.targeting.plot_tracker_pass OUT.png [--track FILE.npz] [--range 20]

A static camera stands beside the path; the beacon's fixes are 200 ms late and biased, the camera's boxes 80 ms late.
Without --track a simulated flight is flown; FILE.npz holds t, pos, vel as in the FlySight-derived track files.
"""

from __future__ import annotations

import argparse

import numpy as np

from gimbal.targeting.target_tracker import TargetTracker
from tests.targeting.tracker_flights import Flight

HALF_FRAME_DEG = 5.0
LEAD_S = 0.05
BIAS_M = np.array([0.9, -0.8, 1.4])


def fly_pass(position, t_mid, fixes, camera, rng):
    """Fly 5 s either side of t_mid. Returns rows of (t, truth, predicted) and boxes as (t, direction)."""
    tracker, rows, boxes, queue = TargetTracker(), [], [], []
    queue += [(t + 0.2, 0, t, p + BIAS_M, v) for t, p, v in fixes if t_mid - 6 < t < t_mid + 5]
    for t in np.arange(t_mid - 5, t_mid + 5, 1 / 30):
        d = position(t) - camera
        r = np.linalg.norm(d)
        los = d / r + rng.normal(size=3) * np.hypot(np.radians(0.08), 0.25 / r)
        if rng.random() < 0.9:
            queue.append((t + 0.08, 1, t, los / np.linalg.norm(los), None))
            boxes.append((t, los))
    queue.sort(key=lambda row: row[0])
    k = 0
    for now in np.arange(t_mid - 4.5, t_mid + 4.5, 0.02):
        while k < len(queue) and queue[k][0] <= now:
            arrival, kind, t, a, v = queue[k]
            if kind == 0:
                tracker.add_fix(t, arrival, a, v, 1.2, 0.25)
            else:
                tracker.add_bearing(t, arrival, a, 0.0014, camera)
            k += 1
        rows.append((now + LEAD_S, position(now + LEAD_S), tracker.predict(now + LEAD_S).pos_N.copy()))
    return rows, boxes


def draw(out, range_m=20.0, track=None):
    """Write the picture to ``out`` (PNG); ``track`` an npz file or None. Returns the RMS pointing error, deg."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(1)
    if track:
        data = np.load(track)
        t, pos, vel = (data[name].astype(float) for name in ("t", "pos", "vel"))
        turning = np.linalg.norm(np.gradient(vel, t, axis=0), axis=1) * np.linalg.norm(vel, axis=1)
        inside = (t > t[0] + 8) & (t < t[-1] - 8)
        t_mid = t[np.argmax(np.where(inside, turning, 0.0))]

        def position(at):
            k = int(np.clip(np.searchsorted(t, at) - 1, 0, len(t) - 2))
            h = t[k + 1] - t[k]
            s = (at - t[k]) / h
            a, b = pos[k], pos[k + 1]
            return (
                (1 + 2 * s) * (1 - s) ** 2 * a
                + s * (1 - s) ** 2 * h * vel[k]
                + s * s * (3 - 2 * s) * b
                + s * s * (s - 1) * h * vel[k + 1]
            )

        step = max(1, round(0.2 / float(np.median(np.diff(t)))))
        fixes = list(zip(t[::step], pos[::step], vel[::step]))
    else:
        flight, t_mid = Flight(seed=4, speed_m_s=25.0), 10.0

        def position(at):
            return flight.at(at)[0]

        fixes = [(s, *flight.at(s)[:2]) for s in np.arange(0.0, 20.0, 0.2)]
    ahead = position(t_mid + 0.1) - position(t_mid)
    side = np.array([-ahead[1], ahead[0], 0.0]) / np.hypot(ahead[0], ahead[1])
    camera = position(t_mid) + range_m * side
    rows, boxes = fly_pass(position, t_mid, fixes, camera, rng)
    at = np.array([row[0] for row in rows])
    truth, guess = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])

    def off(v, time):
        """Angle of directions v (n, 3) from the true line of sight at their times: along and across the motion, deg."""
        d = np.array([position(s) for s in time]) - camera
        d /= np.linalg.norm(d, axis=1)[:, None]
        level = np.stack([-d[:, 1], d[:, 0], 0 * d[:, 0]], 1)
        level /= np.linalg.norm(level, axis=1)[:, None]
        down = np.cross(d, level)
        f = (v * d).sum(1)
        return np.degrees(np.arctan2((v * level).sum(1), f)), np.degrees(np.arctan2((v * down).sum(1), f))

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.5))
    fix = np.array([p + BIAS_M for s, p, _ in fixes if abs(s - t_mid) < 4.5])
    left.plot(truth[:, 1], truth[:, 0], "k-", lw=2, label="true")
    left.plot(fix[:, 1], fix[:, 0], "o", ms=4, color="tab:orange", label="fixes (biased, 200 ms late)")
    left.plot(guess[:, 1], guess[:, 0], "-", color="tab:blue", lw=1, label=f"predicted {1e3 * LEAD_S:.0f} ms ahead")
    left.plot(camera[1], camera[0], "^", color="tab:red", ms=9, label="camera")
    left.set_xlabel("east, m")
    left.set_ylabel("north, m")
    left.axis("equal")
    left.legend(loc="best", fontsize=8)
    when = np.array([s for s, _ in boxes])
    for axis, (colour, name) in enumerate((("tab:blue", "across, level"), ("tab:green", "down"))):
        right.plot(at - t_mid, off(guess - camera, at)[axis], color=colour, lw=1.2, label=f"predicted, {name}")
    right.plot(
        when - t_mid, off(np.array([d for _, d in boxes]), when)[0], ".", ms=2, color="grey", label="boxes, level"
    )
    fix_t = np.array([s for s, _, _ in fixes if abs(s - t_mid) < 4.5])
    right.plot(fix_t - t_mid, off(fix - camera, fix_t)[0], "o", ms=4, color="tab:orange", label="fixes, level")
    for edge in (-HALF_FRAME_DEG, HALF_FRAME_DEG):
        right.axhline(edge, color="tab:red", ls="--", lw=1)
    right.text(-4.4, HALF_FRAME_DEG + 0.15, "edge of the frame", color="tab:red", fontsize=8)
    right.set_ylim(-7, 7)
    right.set_xlabel("s from closest approach")
    right.set_ylabel("off the true line of sight, deg")
    right.legend(loc="lower left", fontsize=8)
    settled = at > t_mid - 3
    error = np.hypot(*off(guess - camera, at))[settled]
    rms = float(np.sqrt(np.mean(error**2)))
    figure.suptitle(f"A pass at {range_m:g} m: line of sight RMS {rms:.2f} deg")
    figure.tight_layout()
    figure.savefig(out, dpi=90)
    plt.close(figure)
    return rms


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--track")
    parser.add_argument("--range", type=float, default=20.0)
    a = parser.parse_args()
    print(f"{a.out}: line of sight RMS {draw(a.out, a.range, a.track):.2f} deg")
