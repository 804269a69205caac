"""Driver options: typed, ranged, unknown ones refused with the nearest known name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firmware_bridge.errors import OptionError


@dataclass(frozen=True)
class Option:
    """One option: its type, default (None: may be left out), what it does, and its range or choices."""

    kind: type
    default: Any
    text: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()


def did_you_mean(name: str, known: list[str]) -> str:
    """ " Did you mean x?" or nothing."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def take_options(who: str, spec: Mapping[str, Option], given: Mapping[str, object]) -> dict[str, Any]:
    """Checked options with defaults filled in. Raises OptionError naming driver, key, value and what is allowed."""
    for key in given:
        if key not in spec:
            known = ", ".join(sorted(spec)) or "none"
            raise OptionError(
                f"driver {who!r} has no option {key!r}.{did_you_mean(key, list(spec))} Its options: {known}."
            )
    return {
        key: _checked(who, key, option, given[key]) if key in given else option.default for key, option in spec.items()
    }


def _checked(who: str, key: str, option: Option, value: object) -> Any:
    where = f"driver {who!r}, option {key!r} ({option.text}): "
    if option.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, option.kind) or (option.kind is int and isinstance(value, bool)):
        raise OptionError(f"{where}{value!r} is not of type {option.kind.__name__}.")
    if option.choices and value not in option.choices:
        raise OptionError(f"{where}{value!r} is not one of {', '.join(option.choices)}.")
    if isinstance(value, (int, float)) and not option.low <= value <= option.high:
        raise OptionError(f"{where}{value!r} is outside {option.low:g} to {option.high:g}.")
    return value
