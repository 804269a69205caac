"""Cables pulled in flight: safe each time, nothing re-arms by itself, and the log tells the story in order."""

from __future__ import annotations

from hil_tests.harness import faults_of, states_of


def test_imu_then_motors_unplugged(place, daemon):
    gimbal = daemon("--mode", "lock")
    gimbal.await_state("idle")
    gimbal.arm()
    gimbal.await_state("armed")

    gimbal.breaker("unplug imu")
    status = gimbal.await_state("safe")
    assert status["fault"] == "imu_link_lost"
    assert status["link_lost"] & 1
    assert set(status["command_mode"]) == {4}  # brake

    refused = gimbal.ask("ack")
    assert not refused["ok"] and "port is gone" in refused["reason"]
    assert not gimbal.ask("arm")["ok"]

    gimbal.breaker("replug imu")
    gimbal.acknowledge()
    assert gimbal.await_state("idle")["fault"] == ""
    gimbal.arm()
    gimbal.await_state("armed")

    gimbal.breaker("unplug motors")
    status = gimbal.await_state("safe")
    assert status["fault"] == "motor_link_lost"
    gimbal.breaker("replug motors")
    gimbal.acknowledge()
    gimbal.arm()

    assert gimbal.end() == 0
    log = gimbal.log()
    assert states_of(log) == [
        "self_test", "idle", "armed", "safe", "idle", "armed", "safe", "idle", "armed", "safe",
    ]  # fmt: skip
    assert faults_of(log) == ["imu_link_lost", "motor_link_lost", "operator_stop"]
    replay = place.gimbal("replay", str(log), "--verify", seconds=120)
    assert replay.returncode == 0, replay.stdout + replay.stderr


def test_a_receiver_may_go(daemon):
    """The rig's own GNSS and the beacon are no reason to stop."""
    gimbal = daemon("--arm")
    gimbal.await_state("armed")
    ticks = gimbal.status()["ticks"]
    gimbal.breaker("unplug gnss")
    gimbal.breaker("unplug beacon")
    from hil_tests.harness import wait_for

    wait_for("both seen", lambda: gimbal.status()["link_lost"] & 12 == 12)
    wait_for("flying on", lambda: gimbal.status()["ticks"] > ticks + 1000)
    assert gimbal.status()["state"] == "armed"
    gimbal.breaker("replug gnss")
    gimbal.breaker("replug beacon")
    wait_for("both back", lambda: gimbal.status()["link_lost"] == 0)
    assert gimbal.status()["state"] == "armed"
    assert gimbal.end() == 0


def test_devices_that_hang_or_lie(daemon):
    """A silent IMU, a frozen one, silent motors and a controller's own fault: each latches its own cause."""
    gimbal = daemon()
    for command, fault, cure in (
        ("stall imu", "imu_silent", "resume imu"),
        ("freeze imu", "imu_frozen", "thaw imu"),
        ("stall motors", "motor_silent", "resume motors"),
        ("fault roll 33", "motor_fault", "heal"),
    ):
        gimbal.arm()
        gimbal.await_state("armed")
        gimbal.breaker(command)
        assert gimbal.await_state("safe")["fault"] == fault, command
        gimbal.breaker(cure)
        gimbal.breaker("heal")
        gimbal.acknowledge()
        gimbal.await_state("idle")
    assert gimbal.end() == 0
    assert faults_of(gimbal.log()) == ["imu_silent", "imu_frozen", "motor_silent", "motor_fault", "operator_stop"]


def test_bit_errors_are_ridden_through(daemon):
    gimbal = daemon("--arm")
    gimbal.await_state("armed")
    gimbal.breaker("corrupt imu 1e-4")
    gimbal.breaker("corrupt motors 1e-4")
    from hil_tests.harness import wait_for

    ticks = gimbal.status()["ticks"]
    wait_for("two seconds of it", lambda: gimbal.status()["ticks"] > ticks + 2000)
    assert gimbal.status()["state"] == "armed"
    assert gimbal.end() == 0
