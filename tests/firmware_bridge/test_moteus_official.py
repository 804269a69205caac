"""The official moteus library (1.1.1, Apache-2.0) drives our emulator through a pty, unaware of it."""

from __future__ import annotations

import asyncio
import math

import pytest

from firmware_bridge.emulators.moteus import MoteusEmulator
from firmware_bridge.emulators.physics import FreeAxis
from firmware_bridge.emulators.pty_host import Host
from tests.firmware_bridge.serving import served

moteus = pytest.importorskip("moteus")
R = moteus.Register
pytestmark = pytest.mark.realtime
TORQUE_ONLY = {"position": math.nan, "velocity": 0.0, "kp_scale": 0.0, "kd_scale": 0.0, "query": True}


@pytest.fixture
def bus(tmp_path):
    axes = [FreeAxis() for _ in range(3)]
    host = Host(tmp_path)
    wire = host.add_pty("moteus", MoteusEmulator(axes))
    with served(host):
        yield wire, axes, str(tmp_path / "moteus")


def run(path, session):
    async def main():
        device = moteus.FdcanusbDevice(path)
        transport = moteus.Transport([device])
        try:
            await asyncio.wait_for(
                session([moteus.Controller(id=i, transport=transport) for i in (1, 2, 3)], transport), 30
            )
        finally:
            device.close()

    asyncio.run(main())


def test_stop_query_torque_watchdog_brake(bus):
    wire, axes, path = bus

    async def session(controllers, transport):
        c = controllers[0]
        reply = await c.set_stop(query=True)
        assert reply.values[R.MODE] == moteus.Mode.STOPPED
        reply = await c.query()
        assert reply.id == 1 and reply.values[R.VOLTAGE] == 24.0 and reply.values[R.FAULT] == 0
        for _ in range(30):
            reply = await c.set_position(**TORQUE_ONLY, feedforward_torque=0.2, watchdog_timeout=0.5)
            await asyncio.sleep(0.002)  # the axis needs time to gather speed, however fast the machine is
        assert reply.values[R.MODE] == moteus.Mode.POSITION
        assert reply.values[R.TORQUE] == pytest.approx(0.2, abs=0.01)
        assert axes[0].rate_rad_s > 0.1 and axes[1].rate_rad_s == 0.0
        await c.set_position(**TORQUE_ONLY, feedforward_torque=0.0, watchdog_timeout=0.05)
        await asyncio.sleep(0.2)
        assert (await c.query()).values[R.MODE] == moteus.Mode.TIMEOUT
        for _ in range(3):
            await c.set_position(**TORQUE_ONLY, feedforward_torque=0.2)
        assert (await c.query()).values[R.MODE] == moteus.Mode.TIMEOUT  # latched
        await c.set_stop()
        await c.set_brake()
        assert (await c.query()).values[R.MODE] == moteus.Mode.BRAKE
        await c.set_stop()
        assert (await c.query()).values[R.MODE] == moteus.Mode.STOPPED

    run(path, session)


def test_position_and_faults(bus):
    wire, axes, path = bus

    async def session(controllers, transport):
        for _ in range(150):
            results = await transport.cycle(
                [c.make_position(position=0.1, velocity=0.0, maximum_torque=3.0, query=True) for c in controllers]
            )
            await asyncio.sleep(0.003)
        assert len(results) == 3
        assert [r.values[R.POSITION] for r in results] == pytest.approx([0.1] * 3, abs=0.02)
        axes[2].fault = 38
        await controllers[2].query()
        values = (await controllers[2].query()).values
        assert values[R.MODE] == moteus.Mode.FAULT and values[R.FAULT] == 38

    run(path, session)


def test_registers_in_every_resolution(bus):
    wire, axes, path = bus
    axes[1].angle_rad = 0.3 * 2 * math.pi

    async def session(controllers, transport):
        c = controllers[1]
        for resolution, tolerance in (
            (moteus.INT8, 0.005),
            (moteus.INT16, 1e-4),
            (moteus.INT32, 1e-5),
            (moteus.F32, 1e-6),
        ):
            reply = await c.custom_query({R.POSITION: resolution})
            assert reply.values[R.POSITION] == pytest.approx(0.3, abs=tolerance)
        ids = await c.custom_query({R.MODEL_NUMBER: moteus.INT32, R.FIRMWARE_VERSION: moteus.INT32,
                                    R.REGISTER_MAP_VERSION: moteus.INT32, R.SERIAL_NUMBER1: moteus.INT32,
                                    R.SERIAL_NUMBER2: moteus.INT32, R.SERIAL_NUMBER3: moteus.INT32})  # fmt: skip
        assert ids.values[R.REGISTER_MAP_VERSION] == 5 and ids.values[R.SERIAL_NUMBER1] == 0x1002

    run(path, session)


def test_settings_and_identity_through_the_diagnostic_stream(bus):
    """What moteus_tool's --info, ``conf get`` and ``conf set`` do."""
    from moteus.moteus_tool import Stream as Tool

    wire, axes, path = bus

    async def session(controllers, transport):
        stream = moteus.Stream(controllers[1])
        assert float(await stream.command(b"conf get servo.default_timeout_s", allow_any_response=True)) == 0.1
        assert await stream.command(b"conf set servo.default_timeout_s 0.25") == b""
        assert wire.emulator.servos[2].default_timeout_s == 0.25
        with pytest.raises(moteus.CommandError, match="error setting"):
            await stream.command(b"conf set id.id 200")
        assert b"id.id 2\n" in await stream.command(b"conf enumerate id")
        firmware = await stream.read_data("firmware")
        assert firmware.serial_number == [0x1002, 0x2000, 0x3000] and firmware.version == 0x10C
        assert (await stream.read_data("git")).hash == list(range(20))
        tool = Tool.__new__(Tool)
        tool.stream = stream
        told = await tool.get_device_info()
        assert told["model"] == "10000" and len(told["uuid"]) == 36
        await controllers[1].set_position(**TORQUE_ONLY, feedforward_torque=0.1, watchdog_timeout=math.nan)
        assert await stream.command(b"d stop") == b"" and axes[1].drive.mode == 0

    run(path, session)
    servo = wire.emulator.servos[2]
    servo.power_up(0)
    assert servo.default_timeout_s == 0.1  # it was not written


def test_three_axis_cycles_and_a_noisy_line(bus):
    wire, axes, path = bus

    async def session(controllers, transport):
        for i in range(60):
            if i == 30:
                wire.faults_out.flip = 0.0005  # the library drops lines with a wrong checksum and goes on
            commands = [
                c.make_position(**TORQUE_ONLY, feedforward_torque=0.01, watchdog_timeout=2.0) for c in controllers
            ]
            try:
                results = await transport.cycle(commands)
            except RuntimeError:
                continue
            assert i >= 30 or [r.id for r in results] == [1, 2, 3]

    run(path, session)
    assert wire.emulator.servos[1].fault == 0
