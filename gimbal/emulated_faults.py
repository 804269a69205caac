"""What can be broken about emulated devices, in words: the same commands in real time and in lock-step.

``unplug|replug DEVICE`` the cable; ``stall|resume DEVICE`` it hangs, power stage and watchdog as they were;
``mute|speak DEVICE`` the line carries nothing either way; ``off|on DEVICE`` it loses its power and settings,
the port stays; ``freeze|thaw DEVICE`` it repeats its last values; ``corrupt|drop|duplicate|delay|reorder DEVICE SHARE``
(of bytes, of frames); ``late DEVICE MS`` everything comes later; ``thin|whole DEVICE`` every second frame is missing;
``babble|sober DEVICE`` another device's bytes; ``spoil DEVICE VALUE`` NaN or a number beyond its range: gyro (rad/s),
encoders, a board's or an autopilot's angles (rad), a receiver's place (m, nan: no fix), a place in the picture, the
radio's channels (nan: failsafe); ``bias imu X Y Z`` deg/s on the gyro; ``fault AXIS CODE``;
``stick|free AXIS`` no torque; ``block|loosen AXIS`` the joint jams;
``reverse AXIS`` torque, rate or angle acts the other way; ``heat AXIS DEGC``; ``supply VOLTS``;
``channel N VALUE`` of the operator's radio, from 1, -1 to 1; ``failsafe on|off`` the radio's;
``heal`` all undone; ``state`` the joints and how long it has been flown, one JSON object.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from gimbal.frames import AXES
from gimbal.units import DEG

SHARES = {"corrupt": "flip", "drop": "drop", "duplicate": "duplicate", "delay": "delay", "reorder": "reorder"}
TRUE = {"thin": ("thin", True), "whole": ("thin", False), "babble": ("babble", True), "sober": ("babble", False)}


def obey(emulators: Any, line: str, now_ns: int) -> str:
    """Carry out one command on ``gimbal.emulate.Emulators``. Never raises: ``ok``, an answer, or ``error: …``."""
    words = line.split()
    try:
        return _do(emulators, words, now_ns) or "ok"
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        return f"error: {line!r} is not understood ({error!r}); commands: {' '.join((__doc__ or '').split())}"


def _do(emulators: Any, words: list[str], now_ns: int) -> str | None:
    verb = words[0]
    if verb == "heal":
        _heal(emulators, now_ns)
        return None
    if verb == "state":
        return json.dumps(_state(emulators))
    if verb == "supply":
        for axis in emulators.axes:
            axis.bus_V = float(words[1])
    elif verb in ("fault", "stick", "free", "block", "loosen", "reverse", "heat"):
        _axis(emulators.axes[AXES.index(words[1])], verb, words[2:])
    elif verb in ("channel", "failsafe"):
        _sticks(emulators.sticks, words)
    elif verb == "bias" and words[1] in ("imu", "carrier_imu"):
        x, y, z = (float(word) * DEG for word in words[2:5])
        getattr(emulators, words[1]).offset = (x, y, z)
    elif verb in ("freeze", "thaw"):
        for part in emulators.parts[words[1]]:
            part.freeze(verb == "freeze", now_ns)
    elif verb == "spoil":
        for part in emulators.parts[words[1]]:
            part.spoil(float(words[2]))
    else:
        _wire(emulators, emulators.host.wires[words[1]], verb, words[2:], now_ns)
    return None


def _axis(axis: Any, verb: str, values: list[str]) -> None:
    if verb == "fault":
        axis.fault = int(values[0])
    elif verb == "heat":
        axis.temp_degC = float(values[0])
    elif verb == "reverse":
        axis.reversed = True
    elif verb in ("block", "loosen"):
        axis.blocked = verb == "block"
    else:
        axis.stuck = verb == "stick"


def _sticks(held: Any, words: list[str]) -> None:
    if words[0] == "failsafe":
        held.held = replace(held.held, failsafe={"on": True, "off": False}[words[1]])
        return
    channel = list(held.held.channel)
    channel[range(1, 17).index(int(words[1]))] = float(words[2])
    held.held = replace(held.held, channel=tuple(channel))


def _wire(emulators: Any, wire: Any, verb: str, values: list[str], now_ns: int) -> None:
    if verb == "unplug":
        wire.unplug(now_ns)
    elif verb == "replug":
        wire.replug(now_ns)
    elif verb in ("stall", "resume"):
        wire.frozen = verb == "stall"
    elif verb in ("mute", "speak"):
        wire.faults_in.drop = wire.faults_out.drop = 1.0 if verb == "mute" else 0.0
    elif verb == "off":
        wire.frozen = True
        wire.emulator.reboot(now_ns)
    elif verb == "on":
        wire.emulator.reboot(now_ns)
        wire.frozen = False
    elif verb == "late":
        wire.faults_out.late_ns = int(float(values[0]) * 1e6)
    elif verb in TRUE:
        setattr(wire.faults_out, *TRUE[verb])
    else:
        setattr(wire.faults_out, SHARES[verb], float(values[0]))


def _heal(emulators: Any, now_ns: int) -> None:
    for wire in emulators.host.wires.values():
        wire.frozen = False
        faults = wire.faults_out
        wire.faults_in.drop = 0.0
        faults.flip = faults.drop = faults.duplicate = faults.delay = faults.reorder = 0.0
        faults.late_ns, faults.thin, faults.babble = 0, False, False
        if not wire.port.connected:
            wire.replug(now_ns)
    for parts in emulators.parts.values():
        for part in parts:
            part.heal()


def _state(emulators: Any) -> dict[str, Any]:
    joints = [emulators.plant.joint_state(axis) for axis in range(3)]
    state = {key: [joint[key] for joint in joints] for key in ("mode", "angle", "rate", "torque", "fault")}
    return state | {"t_s": 1e-9 * (emulators.plant.t_ns - int(emulators.plant.params[0]["t0_ns"]))}
