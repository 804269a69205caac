"""ROBOTIS' own dynamixel-sdk (4.1.0, Apache-2.0) drives our emulator through a pty, unaware of it.

That SDK never stuffs what it sends (addStuffing's result is thrown away), so a value that holds FF FF FD goes out bare;
a servo takes it, since it only removes what follows FF FF FD as FD.
"""

from __future__ import annotations

import time

import pytest

from firmware_bridge.emulators.dynamixel import DynamixelEmulator
from firmware_bridge.emulators.physics import FreeAxis
from firmware_bridge.emulators.pty_host import Host
from tests.firmware_bridge.serving import served

sdk = pytest.importorskip("dynamixel_sdk")
pytestmark = pytest.mark.realtime


@pytest.fixture
def bus(tmp_path):
    axes = [FreeAxis() for _ in range(3)]
    host = Host(tmp_path)
    wire = host.add_pty("bus", DynamixelEmulator(axes))
    with served(host):
        port = sdk.PortHandler(str(tmp_path / "bus"))
        assert port.openPort() and port.setBaudRate(1000000)
        try:
            yield wire.emulator, axes, port, sdk.PacketHandler(2.0)
        finally:
            port.closePort()


def tried(call, *arguments):
    """A host stall may cost the SDK its few milliseconds: as many tries as it takes, a handful."""
    for _ in range(5):
        result = call(*arguments)
        state = result if isinstance(result, int) else result[-2]
        if state == sdk.COMM_SUCCESS:
            return result
    raise AssertionError(f"no answer: {result}")


def test_ping_read_write(bus):
    emulator, axes, port, packet = bus
    assert tried(packet.ping, port, 1) == (1020, sdk.COMM_SUCCESS, 0)
    assert tried(packet.read1ByteTxRx, port, 2, 7)[0] == 2
    assert tried(packet.read2ByteTxRx, port, 2, 144)[0] == 240
    assert tried(packet.write1ByteTxRx, port, 1, 11, 1)[1] == 0
    assert tried(packet.write1ByteTxRx, port, 1, 64, 1)[1] == 0
    assert tried(packet.write1ByteTxRx, port, 1, 11, 0)[1] == 7  # EEPROM with torque on: access error
    assert tried(packet.write4ByteTxRx, port, 1, 104, 100)[1] == 0
    assert axes[0].drive.mode == 2 and axes[0].drive.rate_rad_s == pytest.approx(2.398, abs=0.01)
    assert tried(packet.write4ByteTxRx, port, 1, 104, 5000)[1] == 6  # beyond the velocity limit


def test_broadcast_ping(bus):
    emulator, axes, port, packet = bus
    found, result = packet.broadcastPing(port)
    assert result == sdk.COMM_SUCCESS and found == {1: [1020, 45], 2: [1020, 45], 3: [1020, 45]}


def test_sync_write_and_both_sync_reads(bus):
    emulator, axes, port, packet = bus
    for device in (1, 2, 3):
        tried(packet.write1ByteTxRx, port, device, 11, 0)
        tried(packet.write1ByteTxRx, port, device, 64, 1)
    writer = sdk.GroupSyncWrite(port, packet, 102, 2)
    for device, value in ((1, 50), (2, 100), (3, -50 & 0xFFFF)):
        assert writer.addParam(device, [value & 255, value >> 8])
    assert writer.txPacket() == sdk.COMM_SUCCESS
    reader = sdk.GroupSyncRead(port, packet, 126, 10)
    for device in (1, 2, 3):
        assert reader.addParam(device)
    time.sleep(0.05)
    tried(reader.txRxPacket)
    plain = [reader.getData(device, 126, 2) for device in (1, 2, 3)]
    assert plain == [50, 100, -50 & 0xFFFF]
    tried(reader.fastSyncRead)
    assert [reader.getData(device, 126, 2) for device in (1, 2, 3)] == plain
    assert reader.getData(1, 132, 4) > 2048 and axes[2].rate_rad_s < 0


def test_bulk_reads_and_writes_of_unlike_registers(bus):
    emulator, axes, port, packet = bus
    writer = sdk.GroupBulkWrite(port, packet)
    assert writer.addParam(1, 65, 1, [1]) and writer.addParam(2, 98, 1, [7])
    assert writer.txPacket() == sdk.COMM_SUCCESS
    reader = sdk.GroupBulkRead(port, packet)
    for device, address, size in ((1, 65, 1), (2, 98, 1), (3, 144, 2)):
        assert reader.addParam(device, address, size)
    for read in (reader.txRxPacket, reader.fastBulkRead):
        tried(read)
        assert [reader.getData(*wanted) for wanted in ((1, 65, 1), (2, 98, 1), (3, 144, 2))] == [1, 7, 240]


def test_registered_write_clear_and_factory_reset(bus):
    emulator, axes, port, packet = bus
    tried(packet.regWriteTxRx, port, 2, 65, 1, [1])
    assert tried(packet.read1ByteTxRx, port, 2, 65)[0] == 0
    packet.action(port, sdk.BROADCAST_ID)
    assert tried(packet.read1ByteTxRx, port, 2, 65)[0] == 1
    axes[1].angle_rad = 5 * 6.283185307179586
    assert tried(packet.read4ByteTxRx, port, 2, 132)[0] == 2048 + 5 * 4096
    assert tried(packet.clearMultiTurn, port, 2)[1] == 0
    assert tried(packet.read4ByteTxRx, port, 2, 132)[0] == 2048
    tried(packet.write1ByteTxRx, port, 2, 11, 1)
    assert tried(packet.factoryReset, port, 2, 0x02)[1] == 0
    assert tried(packet.read1ByteTxRx, port, 2, 11)[0] == 3  # position, as delivered


def test_bus_watchdog(bus):
    emulator, axes, port, packet = bus
    tried(packet.write1ByteTxRx, port, 1, 11, 1)
    tried(packet.write1ByteTxRx, port, 1, 64, 1)
    tried(packet.write1ByteTxRx, port, 1, 98, 5)
    time.sleep(0.3)
    assert tried(packet.read1ByteTxRx, port, 1, 98)[0] == 255
    assert tried(packet.write4ByteTxRx, port, 1, 104, 50)[1] == 4
    assert tried(packet.write1ByteTxRx, port, 1, 98, 0)[1] == 0
    assert tried(packet.write4ByteTxRx, port, 1, 104, 50)[1] == 0


def test_stuffing_both_ways(bus):
    emulator, axes, port, packet = bus
    value = 0x00FDFFFF  # sent bare by the SDK
    assert tried(packet.write4ByteTxRx, port, 1, 116, value)[1] == 0
    assert emulator.servos[1].table[116:120] == bytes((0xFF, 0xFF, 0xFD, 0x00))
    assert tried(packet.read4ByteTxRx, port, 1, 116)[0] == value  # stuffed by the servo, unstuffed by the SDK


def test_status_return_level_and_reboot(bus):
    emulator, axes, port, packet = bus
    packet.write1ByteTxRx(port, 3, 68, 1)
    assert packet.write1ByteTxRx(port, 3, 65, 1)[0] == sdk.COMM_RX_TIMEOUT  # no status to a write
    assert tried(packet.read1ByteTxRx, port, 3, 65)[0] == 1
    axes[2].fault = 32
    assert tried(packet.read1ByteTxRx, port, 3, 70)[0] == 32
    assert tried(packet.ping, port, 3)[2] == 0x80
    axes[2].fault = 0
    packet.reboot(port, 3)
    time.sleep(0.4)
    assert tried(packet.read1ByteTxRx, port, 3, 70)[0] == 0 and tried(packet.ping, port, 3)[2] == 0
