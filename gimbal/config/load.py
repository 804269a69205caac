"""TOML -> validated config, with errors that name file, key, value and what is allowed."""

from __future__ import annotations

import difflib
import hashlib
import sys
import tomllib
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from gimbal.config.calibration import Calibration
from gimbal.config.scenario import Scenario
from gimbal.config.schema import Rig
from gimbal.errors import ConfigError

_BESIDE = Path(__file__).resolve().parent.parent.parent / "configs"  # in a checkout
CONFIGS = _BESIDE if _BESIDE.is_dir() else Path(sys.prefix) / "share/gimbal-host/configs"  # as installed
Model = TypeVar("Model", bound=BaseModel)


class Loaded(NamedTuple, Generic[Model]):
    config: Model
    text: str
    path: Path
    hash: str  # of the text, 16 hex digits


def find(kind: str, name: str | Path) -> Path:
    """Path of a config given as a path or as a bare name in configs/<kind>/.

    Raises:
        ConfigError: no such file; near names are offered.
    """
    path = Path(name)
    if path.suffix == ".toml" or "/" in str(name):
        if path.is_file():
            return path
        raise ConfigError(
            f"There is no {kind[:-1]} file {path}. Give a path to a .toml file, or a name in configs/{kind}/."
        )
    bare = CONFIGS / kind / f"{name}.toml"
    if bare.is_file():
        return bare
    names = sorted(p.stem for p in (CONFIGS / kind).glob("*.toml"))
    near = difflib.get_close_matches(str(name), names, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ConfigError(
        f"There is no {kind[:-1]} called {name}.{hint} Known: {', '.join(names)}; or give a path to a .toml file."
    )


def _explain(path: Path, error: ValidationError, model: type[BaseModel]) -> str:
    lines = []
    for e in error.errors():
        key = ".".join(str(part) for part in e["loc"]) or "(whole file)"
        if e["type"] == "extra_forbidden":
            known = _keys_at(model, e["loc"][:-1])
            near = difflib.get_close_matches(str(e["loc"][-1]), known, 1)
            hint = f" Did you mean {near[0]}?" if near else f" Known here: {', '.join(known)}." if known else ""
            lines.append(f"{key}: unknown key.{hint}")
        elif e["type"] == "missing":
            lines.append(f"{key}: missing.")
        else:
            lines.append(f"{key} = {e['input']!r}: {e['msg']}.")
    return f"{path} can't be used. " + " ".join(lines) + " Correct the file and start again."


def _keys_at(model: Any, loc: tuple) -> list[str]:
    for part in loc:
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return []
        model = fields[part].annotation
    return sorted(getattr(model, "model_fields", {}))


def parse(model: type[Model], path: Path) -> Loaded[Model]:
    """Read and validate one TOML file.

    Raises:
        ConfigError: unreadable, not TOML, unknown key, wrong type or out of range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}. Check the path and its permissions.") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} isn't valid TOML: {error}. Correct that line and start again.") from error
    try:
        config = model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_explain(path, error, model)) from error
    return Loaded(config, text, path, hashlib.sha256(text.encode()).hexdigest()[:16])


def load_rig(name: str | Path) -> Loaded[Rig]:
    """A rig by path or bare name, with the calibration that it names.

    Raises:
        ConfigError: a bad rig file; a calibration that is missing, bad, or another rig's.
    """
    loaded = parse(Rig, find("rigs", name))
    rig, path = loaded.config, loaded.path
    if rig.calibrated is not None:
        raise ConfigError(
            f"{path} can't be used. calibrated: this section is filled in from the calibration file. Take it out and "
            'name the file instead: calibration = "<serial>".'
        )
    if not rig.calibration:
        return loaded
    found = load_calibration(rig.calibration, f"{path}: calibration = {rig.calibration!r}")
    if found.config.rig != rig.name:
        raise ConfigError(
            f"{path}: calibration = {rig.calibration!r} was made on rig {found.config.rig!r}, this is {rig.name!r} "
            f"({found.path}). Name this rig's own calibration, or make it with `gimbal calibrate`."
        )
    both = hashlib.sha256((loaded.text + found.text).encode()).hexdigest()[:16]
    return Loaded(rig.model_copy(update={"calibrated": found.config}), loaded.text, path, both)


def load_calibration(name: str, where: str) -> Loaded[Calibration]:
    """A calibration file by path or serial; ``where`` is named in errors.

    Raises:
        ConfigError: missing, bad, or its serial is not the one asked for.
    """
    path = Path(name) if name.endswith(".toml") else CONFIGS / "calibration" / f"{name}.toml"
    if not path.is_file():
        raise ConfigError(
            f"{where}: there is no calibration file {path}. Make it with `gimbal calibrate`, correct the name, or "
            "leave the key empty to fly uncalibrated."
        )
    found = parse(Calibration, path)
    if not name.endswith(".toml") and found.config.serial != name:
        raise ConfigError(
            f"{where}: {path} holds serial {found.config.serial!r}: it was renamed or copied. Calibrate this sensor, "
            "or name the file by its own serial."
        )
    return found


def load_scenario(name: str | Path) -> Loaded[Scenario]:
    """A scenario by path or bare name."""
    return parse(Scenario, find("scenarios", name))
