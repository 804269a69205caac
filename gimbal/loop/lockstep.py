"""Lock-step run: any Rig through the shipped tick, as fast as the machine goes, with the public result keys."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

import gimbal
from gimbal.config.load import Loaded, load_rig, load_scenario
from gimbal.config.scenario import Scenario
from gimbal.config.schema import Rig as RigConfig
from gimbal.errors import UsageError
from gimbal.faults import Code
from gimbal.loop.history import HISTORY
from gimbal.metrics import EMPTY, picture_metrics
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Mode, Verb
from gimbal.units import DEG

MODES = {m.name.lower(): m for m in Mode}
MAX_RUN_S = 3600.0  # a second of history and of the carrier's motion is half a megabyte
START_NS = 1_000_000_000  # a run's clock starts here: times of samples before the first tick stay positive


def check_seconds(seconds: float) -> float:
    """Seconds of a run.

    Raises:
        UsageError: not a positive, finite number.
    """
    if not (isinstance(seconds, (int, float)) and math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"--seconds {seconds!r} isn't a run: give a positive number of seconds, for example 60.")
    if seconds > MAX_RUN_S:
        raise UsageError(f"--seconds {seconds:g} is more than a run in memory can be: at most {MAX_RUN_S:g}.")
    return float(seconds)


def check_seed(seed: int) -> int:
    """Seed of a run.

    Raises:
        UsageError: negative.
    """
    if seed < 0:
        raise UsageError(f"--seed {seed} is no seed: give 0 or more.")
    return int(seed)


def check_mode(mode: str) -> Mode:
    """A mode by name.

    Raises:
        UsageError: unknown name.
    """
    if mode not in MODES:
        raise UsageError(f"There is no mode {mode!r}. Known: {', '.join(MODES)}.")
    return MODES[mode]


def _note_truth(here: np.ndarray, truth: dict[str, Any]) -> None:
    here["q_true"] = truth["q_NC"]
    here["camera_pos_N"] = truth["camera_pos_N"]
    target = truth.get("target_pos_N")
    here["target_pos_N"] = np.nan if target is None else target


def _resolve(config: Any, scenario: Loaded[Scenario] | None) -> tuple[RigConfig, list[Loaded[Any]]]:
    """Rig config of a rig or scenario given as object, Loaded, path or name; the files it came from, rig first."""
    if isinstance(config, RigConfig):
        return config, [Loaded(config, config.model_dump_json(), Path("."), ""), *([scenario] if scenario else [])]
    if isinstance(config, Scenario):
        config = Loaded(config, config.model_dump_json(), Path("."), "")
    if not isinstance(config, Loaded):
        try:
            config = load_rig(config)
        except UsageError:
            config = load_scenario(config)
    if isinstance(config.config, Scenario):
        rig, scenario = load_rig(config.config.rig), config
    else:
        rig = config
    return rig.config, [rig, *([scenario] if scenario else [])]


def run_lockstep(
    rig: Any,
    config: Any,
    seconds: float,
    *,
    mode: str = "lock",
    seed: int = 1,
    log: str | Path | None = None,
    progress: Any = None,
    controller: str = "full",
    keep: list[Any] | None = None,
    scenario: Loaded[Scenario] | None = None,
) -> dict[str, Any]:
    """Drive any object with the ``Rig`` protocol through the shipped tick.

    Per tick: ``rig.read(sense)``, step, ``rig.write(command)``; write advances the physics by ``dt_s``.

    Args:
        rig: open(info), read(sense) -> int, write(command) -> int, safe(), close(); optional truth().
        config: a rig or scenario: its name, path, or loaded object.
        seconds: length of the run.
        mode: off, lock, rate, track, stow, home.
        seed: passed to the rig.
        log: file to write (MCAP), or None.
        progress: called with (ticks done, ticks in all) now and then, or None.
        controller: "full" or "pid" (no observer, no feed-forward but what a plain PID has).
        keep: a list that the run's HISTORY rows are appended to, or None.
        scenario: where ``config`` is a rig: the scenario it is flown in, for the log and the result.

    Returns:
        The keys of docs/contract.md; values from truth are None where the rig has none.

    Raises:
        UsageError, ConfigError: bad arguments.
        RuntimeError: the rig's read or write reported an error.
    """
    from gimbal.config.pack import pack_params
    from gimbal.loop.note import note
    from gimbal.loop.pipeline import new_state, step

    seconds, wanted = check_seconds(seconds), check_mode(mode)
    rig_config, files = _resolve(config, scenario)
    facts = {
        "rig": rig_config.name,
        "scenario": files[1].config.name if len(files) > 1 else "",
        "config_hash": "".join(file.hash for file in files),
        "seed": seed,
    }
    if controller == "pid":
        rig_config = plain_pid(rig_config)
    params = pack_params(rig_config, start_armed=wanted != Mode.OFF)
    state = new_state(params)
    state["arbiter"]["mode"] = wanted
    dt_s = 1.0 / rig_config.loop_rate_hz
    ticks = max(1, round(seconds * rig_config.loop_rate_hz))
    sense, command = np.zeros(1, SENSE), np.zeros(1, COMMAND)
    inbox, row = np.zeros(1, INBOX), np.zeros(1, TICK)
    inbox["verb"] = Verb.NONE
    truth_of = getattr(rig, "truth", None)
    history = np.zeros(ticks, HISTORY)
    faults: list[str] = []
    writer = _open_log(log, facts, rig_config, files, params, state) if log else None
    started = time.perf_counter()
    try:
        rig.open({"dt_s": dt_s, "seed": seed, "kinematic_order": list(rig_config.kinematic_order), "t0_ns": START_NS})
        for tick in range(ticks):
            sense[:] = 0
            status = rig.read(sense)
            if status != 0:
                raise RuntimeError(f"rig.read returned status {status} at tick {tick}: the run ends in rig.safe()")
            truth = truth_of() if truth_of is not None else None
            step(params, state, sense, inbox, command, row)
            here = history[tick : tick + 1]
            note(here, row)
            if truth is not None:
                _note_truth(here, truth)
            if row["health"]["fault"][0] and not faults:
                faults.append(Code(int(row["health"]["fault"][0])).name.lower())
            if writer is not None:
                writer.write(row, state)
            status = rig.write(command)
            if status != 0:
                raise RuntimeError(f"rig.write returned status {status} at tick {tick}: the run ends in rig.safe()")
            if tick == 0:
                started = time.perf_counter()  # what the first tick compiled is no part of the speed
            if progress is not None and tick % 1000 == 999:
                progress(tick + 1, ticks)
    finally:
        rig.safe()
        rig.close()
        if writer is not None:
            writer.close()
    elapsed = time.perf_counter() - started
    result: dict[str, Any] = {
        **facts,
        "mode": mode,
        "seconds": ticks * dt_s,
        "ticks": ticks,
        "version": gimbal.__version__,
        "faults": faults,
        "realtime_factor": (ticks - 1) * dt_s / elapsed if ticks > 1 else None,
    }
    if keep is not None:
        keep.append(history)
    return {**result, **_picture(rig_config, history, mode, truth_of is not None)}


def _picture(rig: RigConfig, h: np.ndarray, mode: str, has_truth: bool) -> dict[str, Any]:
    if not has_truth:
        return dict(EMPTY)
    half = half_frame(rig)
    framing = (rig.targeting.framing_right_deg * DEG, rig.targeting.framing_down_deg * DEG)
    target = h["target_pos_N"] if np.isfinite(h["target_pos_N"]).all() else None
    return picture_metrics(
        h["q_true"],
        h["q_sp"],
        h["q_est"],
        h["camera_pos_N"],
        target,
        rig.loop_rate_hz,
        mode,
        framing,
        (half[0], half[1]),
    )


def half_frame(rig: RigConfig) -> tuple[float, float]:
    """Half angles of view, horizontal and vertical, rad."""
    width, height = rig.camera.sensor_mm
    return math.atan(0.5 * width / rig.camera.focal_mm), math.atan(0.5 * height / rig.camera.focal_mm)


def plain_pid(rig: RigConfig) -> RigConfig:
    """The same rig under the plain PID that the full controller is compared with: no observer, no feed-forward."""
    control = rig.control
    off = control.feedforward.model_copy(
        update={k: False for k in ("imbalance", "friction", "cable", "inertia", "cogging")}
    )
    new: dict[str, Any] = {"observer_hz": 0.0, "feedforward": off, "fast": None}
    if control.pid is not None:
        new |= {name: getattr(control.pid, name) for name in type(control.pid).model_fields} | {"shaping": ()}
    return rig.model_copy(update={"control": control.model_copy(update=new)})


def _open_log(
    log: str | Path,
    facts: dict[str, Any],
    rig: RigConfig,
    files: list[Loaded[Any]],
    params: np.ndarray,
    state: np.ndarray,
) -> Any:
    """The log of this run, with the State it starts from in it."""
    from gimbal.telemetry.log_writer import LogWriter

    texts = {"config.json": rig.model_dump_json(indent=1).encode()}
    for name, file in zip(("rig.toml", "scenario.toml"), files):
        texts[name] = file.text.encode()
    writer = LogWriter(log, facts, params=params, state_dtype=state.dtype, attachments=texts)
    writer.write_state(state)
    return writer
