"""What every section of a rig file is made of: ranged numbers, and a base that refuses unknown keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Real = Annotated[float, Field(allow_inf_nan=False)]
Axis = Literal["roll", "pitch", "yaw"]
Vec3 = tuple[Real, Real, Real]
Positive3 = tuple[Positive, Positive, Positive]
NonNegative3 = tuple[NonNegative, NonNegative, NonNegative]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
