"""Bad config files: each error names file, key, value and what is allowed."""

from __future__ import annotations

import pytest

from gimbal.config.load import CONFIGS, load_rig, load_scenario
from gimbal.errors import ConfigError


@pytest.fixture
def edited(tmp_path):
    """A copy of the reference rig with one text replaced."""

    def edit(old: str, new: str):
        text = (CONFIGS / "rigs/torque.toml").read_text()
        assert old in text
        path = tmp_path / "mine.toml"
        path.write_text(text.replace(old, new, 1))
        return path

    return edit


@pytest.mark.parametrize("path", sorted((CONFIGS / "rigs").glob("*.toml")), ids=lambda p: p.stem)
def test_every_shipped_rig_loads(path):
    assert load_rig(path).config.name == path.stem


@pytest.mark.parametrize("path", sorted((CONFIGS / "scenarios").glob("*.toml")), ids=lambda p: p.stem)
def test_every_shipped_scenario_loads(path):
    assert load_scenario(path).config.name == path.stem


def test_the_hash_changes_with_the_text(edited):
    assert load_rig(edited("mass_kg = 3.2", "mass_kg = 3.3")).hash != load_rig("torque").hash


@pytest.mark.parametrize(
    "old,new,words",
    [
        ("bus_V = 24.0", "buss_V = 24.0", ["mine.toml", "motors.buss_V", "unknown key", "Did you mean bus_V"]),
        ("mass_kg = 3.2", "mass_kg = -3.2", ["mine.toml", "body.pitch.mass_kg", "-3.2", "greater than 0"]),
        ("bits = 14", "bits = 99", ["encoder.bits", "99", "less than or equal to 24"]),
        ("bits = 14", "bits = 'many'", ["encoder.bits", "many", "integer"]),
        ("[encoder]\nbits = 14\n", "[encoder]\n", ["encoder.bits", "missing"]),
        ('["yaw", "roll", "pitch"]', '["yaw", "yaw", "pitch"]', ["kinematic_order", "once each"]),
        ("mass_kg = 3.2", "mass_kg = nan", ["body.pitch.mass_kg"]),
        ("mass_kg = 3.2", "mass_kg = = 3", ["mine.toml", "TOML", "line"]),
        ("[encoder]", "[safety]\nimu_hold_ms = 60.0\n[encoder]", ["imu_hold_ms", "grow in this order"]),
        ("[encoder]", "[safety]\nimu_safe_ms = 1e5\n[encoder]", ["safety.imu_safe_ms", "100000", "250"]),
        ("min_deg = -86.0", "min_deg = -86.0\nstow_deg = 120.0", ["joints.roll", "stow_deg", "end-stop"]),
        ("min_deg = -86.0", "min_deg = -86.0\nsoft_stop_deg = 0.0", ["joints.roll.soft_stop_deg", "greater than 0"]),
        (
            "shaping = [",
            "notches = [" + 9 * "{ axis = 'yaw', centre_hz = 40.0, width_hz = 5.0 }, " + "]\nshaping = [",
            ["yaw has 12", "room for 6"],
        ),
    ],
)
def test_bad_values_are_named(edited, old, new, words):
    with pytest.raises(ConfigError) as error:
        load_rig(edited(old, new))
    assert error.value.exit_code == 2
    for word in words:
        assert word in str(error.value)


def test_a_carrier_imu_faster_than_the_tick_takes_is_refused(tmp_path):
    text = (CONFIGS / "rigs/torque_carrier.toml").read_text()
    assert "loop_rate_hz = 1000" in text and "rate_hz = 200.0" in text
    path = tmp_path / "mine.toml"
    for rate_hz in (400.0, 401.0):
        slow = text.replace("loop_rate_hz = 1000", "loop_rate_hz = 100", 1)
        path.write_text(slow.replace("rate_hz = 200.0", f"rate_hz = {rate_hz}", 1))
        if rate_hz > 400.0:
            with pytest.raises(ConfigError, match="carrier_imu.rate_hz is 401.*at most 400"):
                load_rig(path)
        else:
            assert load_rig(path).config.carrier_imu.rate_hz == 400.0


def test_missing_files_offer_near_names(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean torque"):
        load_rig("torqe")
    with pytest.raises(ConfigError, match="no scenario file"):
        load_scenario(tmp_path / "none.toml")
