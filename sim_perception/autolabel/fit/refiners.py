"""The ways to fit, by name."""

from __future__ import annotations

from sim_perception.autolabel.config import REFINERS, LabelConfig
from sim_perception.autolabel.fit.photometric import PhotometricRefiner
from sim_perception.autolabel.fit.refine import Refiner
from sim_perception.autolabel.fit.sdf_fit import SdfRefiner
from sim_perception.autolabel.fit.sdflabel import SdfLabelRefiner
from sim_perception.models.shape import ShapePca
from sim_perception.models.shape_sdf import ShapeSdf


def make_refiner(name: str, model: ShapePca | ShapeSdf, config: LabelConfig) -> Refiner:
    """Return a way to fit shapes of a space.

    Args:
        name: of ``config.REFINERS``.
        model: a shape space of either kind.
        config: settings.

    Raises:
        ValueError: for another name.
    """
    if name == 'sdflabel':
        return SdfLabelRefiner(model, config)
    if name == 'photometric':
        return PhotometricRefiner(model, config)
    if name != 'fit':
        raise ValueError(f'unknown refinement {name!r}; known: {", ".join(REFINERS)}')
    return SdfRefiner(model, config) if isinstance(model, ShapeSdf) else Refiner(model, config)
