"""Turns what a network says about its own errors into probabilities that hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

#: A depth counts as right if prediction / truth and truth / prediction are below this.
RIGHT_RATIO = 1.25


@dataclass(frozen=True)
class Calibration:
    """Two numbers fitted on data that the network was not trained on; saved with a checkpoint.

    Guo et al., "On calibration of modern neural networks" (ICML 2017): dividing the scores by
    one temperature changes no decision and makes their softmax a fair probability. Likewise one
    factor makes the predicted scale of the depth error fair.

    Attributes:
        depth_scale: factor on the Laplace scale of the log-depth error.
        temperature: divisor of the class scores.
    """

    depth_scale: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 < value < math.inf
            ):
                raise ValueError(f'{name} of a calibration must be positive, got {value!r}')

    def to_dict(self) -> dict[str, float]:
        """Return plain values for YAML; ``from_dict`` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Build a calibration from plain values; what is missing is 1.

        Raises:
            ValueError: for an unknown key or a value that is not positive.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(
                f'unknown calibration settings {", ".join(unknown)}; known: {", ".join(known)}'
            )
        return cls(**values)
