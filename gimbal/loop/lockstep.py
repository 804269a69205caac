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

MODES = {m.name.lower(): m for m in (Mode.OFF, Mode.LOCK, Mode.RATE, Mode.TRACK, Mode.STOW, Mode.HOME)}
START_NS = 1_000_000_000  # a run's clock starts here: times of samples before the first tick stay positive


def check_seconds(seconds: float) -> float:
    """Seconds of a run.

    Raises:
        UsageError: not a positive, finite number.
    """
    if not (isinstance(seconds, (int, float)) and math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"--seconds {seconds!r} isn't a run: give a positive number of seconds, for example 60.")
    return float(seconds)


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


def _resolve(config: Any) -> tuple[RigConfig, str, str]:
    """Rig config, scenario name and config hash of a rig or scenario given as object, Loaded, path or name."""
    if isinstance(config, Loaded):
        loaded = config
    elif isinstance(config, (RigConfig, Scenario)):
        loaded = Loaded(config, config.model_dump_json(), Path("."), "")
    else:
        try:
            loaded = load_rig(config)
        except UsageError:
            loaded = load_scenario(config)
    if isinstance(loaded.config, Scenario):
        rig = load_rig(loaded.config.rig)
        return rig.config, loaded.config.name, rig.hash + loaded.hash
    return loaded.config, "", loaded.hash


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
    rig_config, scenario, config_hash = _resolve(config)
    if controller == "pid":
        rig_config = plain_pid(rig_config)
    params = pack_params(rig_config, start_armed=True)
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
    writer = _open_log(log, rig_config, config, params, state, seed) if log else None
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
        "scenario": scenario,
        "rig": rig_config.name,
        "mode": mode,
        "seconds": ticks * dt_s,
        "seed": seed,
        "ticks": ticks,
        "config_hash": config_hash,
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
    """The same rig without observer and feed-forward: the plain PID that the full controller is compared with."""
    off = rig.control.feedforward.model_copy(
        update={k: False for k in ("imbalance", "friction", "cable", "inertia", "back_emf", "cogging")}
    )
    return rig.model_copy(update={"control": rig.control.model_copy(update={"observer_hz": 0.0, "feedforward": off})})


def _open_log(log: str | Path, rig: RigConfig, config: Any, params: np.ndarray, state: np.ndarray, seed: int) -> Any:
    """The log of this run, with the State it starts from in it."""
    from gimbal.telemetry.log_writer import LogWriter

    texts = {"config.json": rig.model_dump_json(indent=1).encode()}
    source: Any = config
    if isinstance(source, (str, Path)):
        try:
            source = load_rig(source)
        except UsageError:
            source = load_scenario(source)
    if isinstance(source, Loaded):
        scenario = isinstance(source.config, Scenario)
        texts["scenario.toml" if scenario else "rig.toml"] = source.text.encode()
        if scenario:
            texts["rig.toml"] = load_rig(source.config.rig).text.encode()
    facts = {"rig": rig.name, "scenario": _resolve(config)[1], "config_hash": _resolve(config)[2], "seed": seed}
    writer = LogWriter(log, facts, params=params, state_dtype=state.dtype, attachments=texts)
    writer.write_state(state)
    return writer
