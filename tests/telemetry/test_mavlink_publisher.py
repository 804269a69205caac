"""What the MAVLink publisher makes of TICK rows and of requests, and its endpoints. The live one: hil_tests."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from firmware_bridge.angles import body_rates, multiply, quat_of
from firmware_bridge.errors import PortError
from firmware_bridge.mavlink_records import Request
from gimbal.config.load import load_rig
from gimbal.errors import UsageError
from gimbal.records import TICK, Arm
from gimbal.telemetry.publishers import mavlink as publisher


@pytest.fixture
def row():
    made = np.zeros(1, TICK)
    nav = made["nav"]
    nav["q_NC_est"][0] = quat_of((0.05, -0.3, 1.0))
    nav["q_NB_est"][0] = quat_of((0.2, 0.1, 0.7))
    nav["omega_NC_C_est"][0] = (0.1, 0.2, 0.3)
    nav["omega_NB_B_est"][0] = (0.0, 0.0, 0.5)
    nav["pos_N_est"][0] = (1000.0, -500.0, -80.0)
    nav["heading_valid"][0] = 1
    made["t_ns"][0] = 123
    made["health"]["arm"][0] = Arm.ARMED
    return made


def test_the_view_is_what_was_measured(row):
    row["setpoint"]["q_NC_sp"][0] = (0.0, 1.0, 0.0, 0.0)  # never told
    view = publisher.view_of(row[0], (47.0, 8.0, 480.0))
    assert view.q_NC == pytest.approx(quat_of((0.05, -0.3, 1.0))) and view.rate_C == pytest.approx((0.1, 0.2, 0.3))
    assert view.heading_rad == pytest.approx(0.7) and view.armed and view.t_ns == 123 and view.failure == 0
    assert view.heading_rate_rad_s == pytest.approx(0.5 * math.cos(0.2) * math.cos(0.1))
    assert view.place == pytest.approx(
        (47.0 + 1000 / 111_319.5, 8.0 - 500 / (111_319.5 * math.cos(math.radians(47))), 560.0)
    )
    assert publisher.view_of(row[0], None).place is None
    row["sense"]["motor_fault"][0, 1] = 38
    row["sense"]["link_lost"][0] = 1
    row["health"]["arm"][0] = Arm.SAFE
    view = publisher.view_of(row[0], None)
    assert view.failure == 32 | 128 and not view.armed


def test_requests_become_commands_of_the_control_socket(row):
    sent: list[dict] = []
    carrier, now = publisher.Carrier(sent.append), row[0]
    carrier.carry_out(Request(1, "rate", 0, rate_C=(0.0, math.radians(5), -100.0)), now)
    assert sent == [{"verb": "mode", "mode": "rate"},
                    {"verb": "rate", "rate_deg_s": [1000.0, pytest.approx(5.0), -1000.0]}]  # fmt: skip
    sent.clear()
    carrier.carry_out(Request(1, "rate", 0, rate_C=(0.0, math.radians(5), 0.0)), now)
    (one,) = sent  # the mode is set already; with the camera's bank a tilt turns a little about the vertical
    turn = math.radians(5) * math.sin(0.05) / math.cos(0.3)
    assert one == {"verb": "rate", "rate_deg_s": pytest.approx([-math.degrees(turn) * math.sin(0.3), 5.0, 0.0])}
    sent.clear()
    q = quat_of((0.0, -0.4, 0.9))
    carrier.carry_out(Request(1, "attitude", 0, q=q), now)
    assert [one["verb"] for one in sent] == ["point", "mode"] and sent[1]["mode"] == "point"
    north, east, down = (a - b for a, b in zip(sent[0]["point_N_m"], (1000.0, -500.0, -80.0)))
    assert math.atan2(-down, math.hypot(north, east)) == pytest.approx(-0.4) and math.atan2(
        east, north
    ) == pytest.approx(0.9)
    sent.clear()
    carrier.carry_out(Request(1, "point", 0, to_N=(10.0, 20.0, 30.0)), now)
    assert sent == [{"verb": "point", "point_N_m": [1010.0, -480.0, -50.0]}]  # the mode is set already
    for verb, mode in (("neutral", "home"), ("retract", "stow")):
        carrier.carry_out(Request(1, verb, 0), now)
        assert sent[-1] == {"verb": "mode", "mode": mode}


def test_a_yaw_against_the_carrier_is_asked_for_anew_as_it_turns(row, monkeypatch):
    sent: list[dict] = []
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    carrier, now = publisher.Carrier(sent.append), row[0]
    carrier.carry_out(Request(1, "attitude", 0, q=quat_of((0.0, 0.0, 0.2)), yaw_frame="vehicle"), now)

    def yaw() -> float:
        north, east, _ = (a - b for a, b in zip(sent[-1]["point_N_m"], (1000.0, -500.0, -80.0)))
        return math.atan2(east, north)

    assert sent[0]["verb"] == "point"
    del sent[1:]
    assert yaw() == pytest.approx(0.9)
    row["nav"]["q_NB_est"][0] = multiply(quat_of((0.0, 0.0, 0.3)), row["nav"]["q_NB_est"][0])
    carrier.keep_following(now)
    assert len(sent) == 1  # too soon
    clock[0] += 0.11
    carrier.keep_following(now)
    assert len(sent) == 2 and yaw() == pytest.approx(1.2)
    carrier.carry_out(Request(1, "rate", 0), now)
    clock[0] += 1.0
    carrier.keep_following(now)
    assert sent[2:] == [{"verb": "mode", "mode": "rate"}, {"verb": "rate", "rate_deg_s": [0.0, 0.0, 0.0]}]


def test_rates_leave_the_horizon_to_the_loop():
    """A pan of a camera that looks down has a part along its own axis: none of it is bank."""
    for euler in ((0.0, -0.6, 1.0), (0.1, 0.4, -2.0), (0.0, 0.0, 0.0)):
        sent = publisher.level_rates(quat_of(euler), body_rates(euler, (0.05, 0.2, -0.4)))
        assert sent == pytest.approx((0.05, *body_rates(euler, (0.05, 0.2, -0.4))[1:]))


@pytest.mark.parametrize(
    "text", ["", "udp:127.0.0.1:1", "udpin:14550", "udpin:127.0.0.1:0", "udpin:127.0.0.1:99999", "serial:/dev/x"]
)
def test_bad_endpoints_are_named(text):
    with pytest.raises(UsageError, match="--endpoint"):
        publisher.open_endpoint(text)


def test_endpoints_open():
    listening = publisher.open_endpoint("udpin:127.0.0.1:0".replace(":0", ":47233"))
    with pytest.raises(PortError, match="47233"):
        publisher.open_endpoint("udpin:127.0.0.1:47233")
    speaking = publisher.open_endpoint("udpout:127.0.0.1:47233")
    speaking.write(b"hello")
    assert listening.wait(2.0) and listening.read() == b"hello"
    listening.close()
    speaking.close()
    with pytest.raises(PortError):
        publisher.open_endpoint("serial:/dev/no-such-port:57600")


def test_limits_come_from_the_rigs_file():
    facts = publisher.facts_of("torque")
    joints = load_rig("torque").config.joints
    assert facts.infinite_yaw and facts.pitch_limits == (-math.pi / 2, math.pi / 2)
    assert facts.roll_limits[1] == pytest.approx(math.radians(joints.roll.max_deg))
    assert publisher.facts_of("no such rig").model == "no such rig"


def test_bad_words_end_with_2(capsys):
    assert publisher.main(["--rig", "x", "--endpoint", "nothing"]) == 2
    assert publisher.main(["--rig", "x", "--endpoint", "udpin:127.0.0.1:47234", "--origin", "here"]) == 2
    assert publisher.main(["--rig", "x", "--endpoint", "udpin:127.0.0.1:47234", "--status-hz", "200"]) == 2
    assert "10 to 50" in capsys.readouterr().err
