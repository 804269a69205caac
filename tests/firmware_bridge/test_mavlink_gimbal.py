"""Our daemon as a MAVLink gimbal, with pymavlink as the peer, in simulated time."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from pymavlink.dialects.v20 import common as mav

from firmware_bridge.mavlink_records import north_east_down
from tests.firmware_bridge.simulated_rig import HERE, SimulatedRig

DEG = math.pi / 180
GCS, OTHER = (245, 190), (255, 190)
NAN = math.nan


class Peer:
    """pymavlink on the other end, one tick a millisecond or ten."""

    def __init__(self, rig: SimulatedRig, ids: tuple[int, int] = GCS) -> None:
        self.rig, self.now = rig, 1_000_000_000
        self.mav = mav.MAVLink(None, srcSystem=ids[0], srcComponent=ids[1])
        self.parser = mav.MAVLink(None)
        self.heard: list = []

    def run(self, seconds: float, data: bytes = b"") -> list:
        fresh = []
        for _ in range(round(seconds * 100)):
            for frame in self.rig.step(self.now, data):
                fresh += self.parser.parse_buffer(frame) or []
            data = b""
            self.now += 10_000_000
        self.heard += fresh
        return fresh

    def tell(self, message, seconds: float = 0.02) -> list:
        return self.run(seconds, message.pack(self.mav))

    def long(self, command: int, *p: float, seconds: float = 0.02) -> list:
        filled = (*p, *(NAN,) * (7 - len(p)))
        return self.tell(mav.MAVLink_command_long_message(1, 154, command, 0, *filled), seconds)

    def int(self, command: int, p: tuple, x: int, y: int, z: float, frame: int = 0, seconds: float = 0.02) -> list:
        return self.tell(mav.MAVLink_command_int_message(1, 154, frame, command, 0, 0, *p, x, y, z), seconds)

    def take(self, ids: tuple[int, int] = GCS) -> int:
        return result(self.long(1001, *ids, -1, -1, NAN, NAN, 154))

    def angles(self) -> np.ndarray:
        return np.array(self.rig.truth(self.now)) / DEG


def of(messages: list, kind: str) -> list:
    return [m for m in messages if m.get_type() == kind]


def result(messages: list) -> int:
    (ack,) = of(messages, "COMMAND_ACK")
    assert (ack.target_system, ack.target_component) in (GCS, OTHER)
    return ack.result


@pytest.fixture
def peer() -> Peer:
    return Peer(SimulatedRig())


@pytest.mark.parametrize("how", ["long", "int"])
def test_discovery(peer, how):
    for number, kind in ((280, "GIMBAL_MANAGER_INFORMATION"), (283, "GIMBAL_DEVICE_INFORMATION"),
                         (281, "GIMBAL_MANAGER_STATUS"), (285, "GIMBAL_DEVICE_ATTITUDE_STATUS")):  # fmt: skip
        peer.run(0.05)
        if how == "long":
            messages = peer.long(512, number)
        else:
            messages = peer.int(512, (number, 0, 0, 0), 0, 0, 0.0)
        assert result(messages) == 0 and of(messages, kind)
    assert result(peer.long(512, 148)) == 3 and result(peer.long(400, 1)) == 3
    information = of(peer.heard, "GIMBAL_MANAGER_INFORMATION")[-1]
    assert information.gimbal_device_id == 154 and information.pitch_min == pytest.approx(-math.pi / 2)
    assert information.cap_flags & mav.GIMBAL_MANAGER_CAP_FLAGS_HAS_YAW_LOCK
    assert of(peer.heard, "GIMBAL_DEVICE_INFORMATION")[-1].vendor_name == "gimbal-host"


def test_a_command_for_everybody_that_is_not_ours_gets_no_refusal(peer):
    assert not of(peer.tell(mav.MAVLink_command_long_message(1, 0, 400, 0, *[0.0] * 7)), "COMMAND_ACK")
    assert not of(peer.tell(mav.MAVLink_command_long_message(1, 1, 512, 0, 280, *[0.0] * 6)), "COMMAND_ACK")
    assert not of(peer.tell(mav.MAVLink_command_long_message(2, 154, 512, 0, 280, *[0.0] * 6)), "COMMAND_ACK")


def test_status_comes_at_its_rates_with_one_yaw_frame(peer):
    messages = peer.run(4.0)
    attitude, managed = of(messages, "GIMBAL_DEVICE_ATTITUDE_STATUS"), of(messages, "GIMBAL_MANAGER_STATUS")
    assert len(attitude) == pytest.approx(80, abs=2) and len(managed) == pytest.approx(20, abs=1)
    assert len(of(messages, "HEARTBEAT")) == 4
    for status in attitude:
        assert bool(status.flags & 32) != bool(status.flags & 64)
        assert status.flags & 12 == 12
    for us, hz in ((20_000, 50), (100_000, 10)):
        assert result(peer.long(511, 285, us)) == 0
        assert len(of(peer.run(2.0), "GIMBAL_DEVICE_ATTITUDE_STATUS")) == pytest.approx(2 * hz, abs=2)
    for us in (5_000, 1_000_000, -1):
        assert result(peer.long(511, 285, us)) == 2


def test_what_is_told_is_measured_not_wanted(peer):
    peer.take()
    messages = peer.tell(mav.MAVLink_gimbal_manager_set_pitchyaw_message(1, 154, 16, 154, -0.6, 0.9, NAN, NAN), 3.0)
    pitches = [
        math.asin(2 * (s.q[0] * s.q[2] - s.q[3] * s.q[1])) for s in of(messages, "GIMBAL_DEVICE_ATTITUDE_STATUS")
    ]
    assert pitches[0] > -0.1 and pitches[-1] == pytest.approx(-0.6, abs=1e-3)
    assert any(-0.5 < pitch < -0.1 for pitch in pitches)


def test_an_old_measurement_is_not_told(peer):
    rig = peer.rig
    view = rig.view(peer.now)
    rig.machine.out.clear()
    for k in range(200):
        rig.machine.service(peer.now + k * 10_000_000, view)
    told = [m for frame in rig.machine.out for m in mav.MAVLink(None).parse_buffer(frame) or []]
    assert len(of(told, "GIMBAL_DEVICE_ATTITUDE_STATUS")) <= 11
    assert of(told, "HEARTBEAT")[-1].system_status == mav.MAV_STATE_CRITICAL


def test_ownership(peer):
    rig, other = peer.rig, Peer(peer.rig, OTHER)
    turn = mav.MAVLink_gimbal_manager_set_pitchyaw_message(1, 154, 16, 154, -0.2, 0.1, NAN, NAN)
    peer.tell(turn)
    assert not rig.done and result(peer.long(1000, -10, 10, NAN, NAN, 16, NAN, 154)) == 2
    assert peer.take() == 0 and rig.machine.ownership.primary == GCS
    peer.tell(turn)
    assert rig.done[-1].verb == "attitude" and rig.done[-1].owner == 245 << 8 | 190
    other.now = peer.now
    count = len(rig.done)
    other.tell(turn)
    assert len(rig.done) == count and result(other.long(1000, -10, 10, NAN, NAN, 16, NAN, 154)) == 2
    assert result(other.long(1001, -1, -1, -2, -2, NAN, NAN, 154)) == 0  # secondary, itself
    assert rig.machine.ownership.secondary == OTHER and rig.machine.ownership.primary == GCS
    peer.now = other.now
    peer.tell(turn)
    other.now = peer.now
    assert result(other.long(1000, -10, 10, NAN, NAN, 16, NAN, 154)) == 2  # the primary has just commanded
    other.run(2.5)
    assert result(other.long(1000, -10, 10, NAN, NAN, 16, NAN, 154)) == 0
    peer.now = other.now
    assert result(peer.long(1001, -3, -3, -3, -3, NAN, NAN, 154)) == 0
    assert rig.machine.ownership.primary == (0, 0) and rig.machine.ownership.secondary == OTHER
    assert result(peer.long(1001, 0, 0, 0, 0, NAN, NAN, 154)) == 0
    assert rig.machine.ownership.secondary == (0, 0)
    assert result(peer.long(1001, 999, 0, -1, -1, NAN, NAN, 154)) == 2
    status = of(peer.run(0.4), "GIMBAL_MANAGER_STATUS")[-1]
    assert (status.primary_control_sysid, status.secondary_control_compid) == (0, 0)


@pytest.mark.parametrize("flags,heading", [(28, 0.7), (12, 0.7), (12 | 64, -1.2), (12 | 32, -1.2)])
def test_angles_get_there_in_their_frame(flags, heading):
    rig = SimulatedRig(heading=heading)
    peer = Peer(rig)
    peer.take()
    roll, pitch, yaw = -4 * DEG, -25 * DEG, 40 * DEG
    q = mav_quaternion(roll, pitch, yaw)
    message = mav.MAVLink_gimbal_manager_set_attitude_message(1, 154, flags, 154, q, NAN, NAN, NAN)
    messages = peer.tell(message, 3.0)
    earth = bool(flags & (16 | 64))
    want = np.array([-4.0, -25.0, 40.0 + (0 if earth else heading / DEG)])
    assert np.allclose(peer.angles(), want, atol=0.05)
    status = of(messages, "GIMBAL_DEVICE_ATTITUDE_STATUS")[-1]
    assert status.flags & (64 if earth else 32)
    assert np.allclose(np.abs(np.dot(status.q, q)), 1.0, atol=1e-5)  # in the frame it says
    assert status.delta_yaw == pytest.approx(heading, abs=1e-5)


def mav_quaternion(roll: float, pitch: float, yaw: float) -> list[float]:
    from pymavlink.quaternion import Quaternion

    return list(Quaternion([roll, pitch, yaw]).q)


def test_follow_keeps_to_the_turning_carrier():
    rig = SimulatedRig(heading=0.2, turning=0.3)
    peer = Peer(rig)
    peer.take()
    peer.tell(mav.MAVLink_gimbal_manager_set_pitchyaw_message(1, 154, 12, 154, -0.3, 0.5, NAN, NAN), 6.0)
    lag = 0.3 / rig.gimbal.stiffness_1_s
    assert peer.angles()[2] * DEG == pytest.approx(
        math.remainder(rig.heading(peer.now) + 0.5 - lag, 2 * math.pi), abs=0.02
    )


@pytest.mark.parametrize("by", ["attitude", "pitchyaw", "manual", "long", "int"])
def test_rates_turn_and_expire(peer, by):
    peer.take()
    peer.tell(mav.MAVLink_gimbal_manager_set_pitchyaw_message(1, 154, 16, 154, -0.5, 0.0, NAN, NAN), 3.0)
    pitch_rate, yaw_rate = 5.0, -8.0

    def again(seconds):
        p, y = pitch_rate * DEG, yaw_rate * DEG
        if by == "attitude":
            peer.tell(mav.MAVLink_gimbal_manager_set_attitude_message(1, 154, 28, 154, [NAN] * 4, NAN, p, y), seconds)
        elif by == "pitchyaw":
            peer.tell(mav.MAVLink_gimbal_manager_set_pitchyaw_message(1, 154, 28, 154, NAN, NAN, p, y), seconds)
        elif by == "manual":
            most = peer.rig.machine.facts.max_rate_rad_s
            peer.tell(mav.MAVLink_gimbal_manager_set_manual_control_message(1, 154, 28, 154, NAN, NAN, p / most,
                                                                            y / most), seconds)  # fmt: skip
        elif by == "long":
            assert result(peer.long(1000, NAN, NAN, pitch_rate, yaw_rate, 28, NAN, 154, seconds=seconds)) == 0
        else:
            messages = peer.int(1000, (NAN, NAN, pitch_rate, yaw_rate), 28, 0, 154.0, seconds=seconds)
            assert result(messages) == 0

    for _ in range(3):
        again(0.1)
    start, begun = peer.angles(), peer.now
    for _ in range(10):
        again(0.1)
    seconds = (peer.now - begun) * 1e-9
    turned = (peer.angles() - start) / seconds
    assert np.allclose(turned, [0.0, pitch_rate, yaw_rate], atol=0.15)
    peer.run(0.12)
    assert abs(peer.rig.gimbal.state(peer.now).rate_C[1]) > 0.05  # not yet
    peer.run(0.3)
    assert peer.rig.done[-1].verb == "rate" and not any(peer.rig.done[-1].rate_C)
    assert max(map(abs, peer.rig.gimbal.state(peer.now).rate_C)) < 1e-3


def test_giving_control_up_stops_a_turn(peer):
    peer.take()
    peer.tell(mav.MAVLink_gimbal_manager_set_pitchyaw_message(1, 154, 28, 154, NAN, NAN, 0.1, 0.1))
    assert any(peer.rig.done[-1].rate_C)
    peer.long(1001, -3, -3, -3, -3, NAN, NAN, 154)
    assert peer.rig.done[-1].verb == "rate" and not any(peer.rig.done[-1].rate_C)


@pytest.mark.parametrize("frame,height", [(0, 600.0), (5, 600.0), (3, 200.0), (6, 200.0)])
def test_a_place_is_looked_at_until_told_otherwise(peer, frame, height):
    peer.take()
    place = (47.003, 8.004)
    call = lambda: peer.int(195, (154, NAN, NAN, NAN), round(place[0] * 1e7), round(place[1] * 1e7), height, frame)  # noqa: E731
    if frame in (3, 6):
        assert result(call()) == 1  # above home, and nobody has told where home is
        autopilot = mav.MAVLink(None, srcSystem=1, srcComponent=1)
        here = mav.MAVLink_global_position_int_message(0, 470000000, 80000000, 480_000, 80_000, 0, 0, 0, 0)
        peer.run(0.02, here.pack(autopilot))
    assert result(call()) == 0
    peer.run(3.0)
    north, east, down = north_east_down(HERE, (*place, 600.0))
    want = [0.0, math.atan2(-down, math.hypot(north, east)) / DEG, math.atan2(east, north) / DEG]
    assert np.allclose(peer.angles(), want, atol=0.02)
    # the camera flies on: the line of sight turns with it
    peer.rig.place = (47.001, 8.0, 480.0)
    peer.run(3.0)
    north, east, _ = north_east_down(peer.rig.place, (*place, 600.0))
    assert peer.angles()[2] == pytest.approx(math.atan2(east, north) / DEG, abs=0.02)
    assert result(peer.long(197, 154)) == 0
    peer.rig.place = (47.002, 8.0, 480.0)
    held = peer.angles()
    peer.run(2.0)
    assert np.allclose(peer.angles(), held, atol=0.01)


def test_north_east_down_against_the_radii_of_curvature():
    a, e2, lat = 6378137.0, 6.69437999014e-3, math.radians(47.0)
    meridian = a * (1 - e2) / (1 - e2 * math.sin(lat) ** 2) ** 1.5
    normal = a / math.sqrt(1 - e2 * math.sin(lat) ** 2)
    north, east, down = north_east_down((47.0, 8.0, 0.0), (47.0001, 8.0001, 10.0))
    assert north == pytest.approx(1e-4 * DEG * meridian, abs=0.01)
    assert east == pytest.approx(1e-4 * DEG * normal * math.cos(lat), abs=0.01)
    assert down == pytest.approx(-10.0, abs=0.01)


def test_a_place_without_ones_own_is_refused_for_now(peer):
    peer.rig.place = None
    peer.take()
    assert result(peer.int(195, (0, NAN, NAN, NAN), 470000000, 80000000, 500.0)) == 1
    assert result(peer.int(195, (0, NAN, NAN, NAN), 2_000_000_000, 80000000, 500.0)) == 2


def test_retract_neutral_and_limits(peer):
    peer.take()
    for flag, verb in ((1, "retract"), (2, "neutral")):
        messages = peer.tell(
            mav.MAVLink_gimbal_manager_set_attitude_message(1, 154, flag, 154, [NAN] * 4, NAN, NAN, NAN), 0.2
        )
        assert peer.rig.done[-1].verb == verb
        assert of(messages, "GIMBAL_DEVICE_ATTITUDE_STATUS")[-1].flags & flag
    peer.tell(mav.MAVLink_gimbal_manager_set_pitchyaw_message(1, 154, 16, 154, -9.0, 0.0, NAN, NAN))
    q = peer.rig.done[-1].q
    assert abs(math.asin(max(-1, min(1, 2 * (q[0] * q[2] - q[3] * q[1]))))) <= math.pi / 2 + 1e-9


def test_bad_values_ask_for_nothing(peer):
    peer.take()
    for q, w in (
        ([NAN] * 4, (NAN,) * 3),
        ([0.0] * 4, (NAN,) * 3),
        ([math.inf] * 4, (math.inf,) * 3),
        ([1e30] * 4, (NAN,) * 3),
    ):
        peer.tell(mav.MAVLink_gimbal_manager_set_attitude_message(1, 154, 28, 154, q, *w))
    for p in ((NAN,) * 4, (math.inf, math.inf, math.inf, math.inf)):
        assert result(peer.long(1000, *p, NAN, NAN, 154)) == 2
    peer.tell(mav.MAVLink_gimbal_manager_set_pitchyaw_message(1, 154, 28, 99, 0.1, 0.1, NAN, NAN))  # another gimbal's
    assert not peer.rig.done


def test_as_a_device_it_obeys_its_manager_only():
    rig = SimulatedRig(role="device")
    autopilot, stranger = Peer(rig, (1, 1)), Peer(rig, GCS)
    wanted = mav.MAVLink_gimbal_device_set_attitude_message(1, 154, 28, mav_quaternion(0, -0.4, 0.6), NAN, NAN, NAN)
    messages = stranger.tell(wanted, 0.5)
    assert not rig.done and of(messages, "GIMBAL_DEVICE_ATTITUDE_STATUS")[-1].failure_flags & 512
    assert not of(messages, "GIMBAL_MANAGER_STATUS")
    assert result(stranger.long(512, 280)) == 3 and result(stranger.long(512, 283)) == 0
    autopilot.now = stranger.now
    messages = autopilot.tell(wanted, 2.0)
    assert np.allclose(autopilot.angles(), [0.0, -0.4 / DEG, 0.6 / DEG], atol=0.05)
    assert not of(messages, "GIMBAL_DEVICE_ATTITUDE_STATUS")[-1].failure_flags & 512
    state = mav.MAVLink_autopilot_state_for_gimbal_device_message(
        1, 154, 5, [1.0, 0, 0, 0], 2000, 1, 2, 3, 9000, NAN, 1, 0
    )
    autopilot.tell(state)
    assert rig.machine.autopilot.v_estimated_delay_us == 9000


def test_no_flipped_bit_passes(peer):
    peer.take()
    frame = mav.MAVLink_gimbal_manager_set_pitchyaw_message(1, 154, 28, 154, 0.3, 0.2, NAN, NAN).pack(peer.mav)
    framer = peer.rig.machine.framer
    for bit in range(8 * len(frame)):
        bad = bytearray(frame)
        bad[bit // 8] ^= 1 << bit % 8
        assert not framer.frames(bytes(bad))
        framer.framer.reset()
    assert len(framer.frames(frame)) == 1


def test_garbage_is_survived_and_the_next_good_frame_taken(peer):
    rng = random.Random(3)
    peer.take()
    good = [
        mav.MAVLink_gimbal_manager_set_pitchyaw_message(1, 154, 28, 154, 0.3, 0.2, NAN, NAN).pack(peer.mav),
        mav.MAVLink_command_long_message(1, 154, 512, 0, 283, *[0.0] * 6).pack(peer.mav),
        mav.MAVLink_command_int_message(1, 154, 3, 195, 0, 0, 154, NAN, NAN, NAN, 471000000, 82000000, 500).pack(
            peer.mav
        ),
        mav.MAVLink_heartbeat_message(2, 12, 0, 0, 4, 3).pack(peer.mav),
    ]
    done = 0
    while done < 100_000:
        data = bytearray(rng.choice(good))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        data = data[: rng.randrange(len(data) + 1)] + rng.randbytes(rng.randrange(20))
        done += len(data)
        peer.rig.machine.feed(bytes(data), peer.now, peer.rig.view(peer.now))
        peer.rig.machine.requests.clear()
        peer.rig.machine.out.clear()
    peer.rig.machine.feed(bytes(300), peer.now, None)
    peer.rig.machine.framer.framer.reset()
    peer.take()
    peer.tell(mav.MAVLink_gimbal_manager_set_pitchyaw_message(1, 154, 28, 154, 0.3, 0.2, NAN, NAN))
    assert peer.rig.done[-1].verb == "attitude"


@pytest.mark.parametrize("command", [512, 511, 1001, 1000, 195, 197])
def test_any_numbers_in_a_command_are_answered(peer, command):
    rng = random.Random(command)
    peer.take()
    odd = (NAN, math.inf, -math.inf, 0.0, -1.0, 1e30, 154.0, -3.0, 280.0, 285.0, 65535.0)
    for _ in range(100):
        messages = peer.long(command, *(rng.choice(odd) for _ in range(6)), 154.0, seconds=0.01)
        assert len(of(messages, "COMMAND_ACK")) == 1
        p = tuple(rng.choice(odd) for _ in range(4))
        messages = peer.int(command, p, rng.randrange(-(2**31), 2**31), rng.randrange(-(2**31), 2**31), rng.choice(odd),
                            rng.randrange(12), seconds=0.01)  # fmt: skip
        assert len(of(messages, "COMMAND_ACK")) == 1
        assert all(math.isfinite(x) for r in peer.rig.done for x in (*r.rate_C, *r.q, *r.to_N))
        peer.take()
