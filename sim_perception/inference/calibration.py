"""Turns what a network says about its own errors into probabilities that hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
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


@dataclass(frozen=True)
class ScoreCalibration:
    """Makes a detector's scores the share of detections that are right, class by class.

    Platt, "Probabilistic outputs for support vector machines" (1999): the logit of a score times
    ``scale`` plus ``bias`` is the logit of the probability. Within a class no order changes.

    Attributes:
        scale: by class name, positive; a class that is missing keeps its scores.
        bias: of the same classes.
        seconded: of scores that a second opinion has changed; None if never fitted.
    """

    scale: Mapping[str, float] = field(default_factory=dict)
    bias: Mapping[str, float] = field(default_factory=dict)
    seconded: ScoreCalibration | None = None

    def __post_init__(self) -> None:
        if set(self.scale) != set(self.bias):
            raise ValueError('a calibration of scores needs scale and bias of the same classes')
        for name in self.scale:
            scale, bias = self.scale[name], self.bias[name]
            if not (0 < scale < math.inf and math.isfinite(bias)):
                raise ValueError(
                    f'{name}: scale must be positive, bias finite, got {scale}, {bias}'
                )

    def of(self, names: Sequence[str]) -> tuple[list[float], list[float]]:
        """Return scales and biases of classes in order."""
        return [self.scale.get(n, 1.0) for n in names], [self.bias.get(n, 0.0) for n in names]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML; ``from_dict`` is the inverse."""
        own: dict[str, Any] = {'scale': dict(self.scale), 'bias': dict(self.bias)}
        return own if self.seconded is None else {**own, 'seconded': self.seconded.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScoreCalibration:
        """Build a calibration from plain values; an empty one changes nothing.

        Raises:
            ValueError: for an unknown key or an impossible number.
        """
        unknown = sorted(set(values) - {'scale', 'bias', 'seconded'})
        if unknown:
            raise ValueError(f'unknown calibration settings {", ".join(unknown)}')
        numbers = {
            k: {n: float(x) for n, x in values[k].items()}
            for k in ('scale', 'bias')
            if k in values
        }
        seconded = values.get('seconded')
        return cls(**numbers, seconded=None if seconded is None else cls.from_dict(seconded))
