"""The second-order fit in a shape space that a network spans.

The loops read grids that are linear in the latent. A network's shapes are not, so the fit is made
in the tangent at the mean shape and then again in that of the nearest typical member. Tangents are
made once, so that an object takes hardly longer than in a linear space.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.fit_kernels import Evidence, minimise
from sim_perception.autolabel.posed_shape import SHAPE, Space, View
from sim_perception.autolabel.refine import F64, Refiner, ShapeFit, make_space
from sim_perception.models.shape import SIZE
from sim_perception.models.shape_sdf import ShapeSdf


class SdfRefiner(Refiner):
    """Fits members of a network's shape space; see ``Refiner``."""

    def __init__(self, model: ShapeSdf, config: LabelConfig) -> None:
        super().__init__(model.tangent(), config)
        self.centres = np.concatenate(
            [np.zeros((1, model.config.components)), self.seeds[:, SIZE:]]
        )
        self.spaces: list[Space] = [self.space]
        self.spaces += [make_space(model.tangent(centre)) for centre in self.centres[1:]]

    def refine(self, first: F64, evidence: Evidence, view: View) -> ShapeFit:
        """Return the best minimum reached from (H, 7 + K) first states."""
        fit = super().refine(first, evidence, view)
        space = self.spaces[self.nearest(fit.state)]
        state, normal = fit.state.copy(), np.zeros_like(fit.hessian)
        config = self.config
        cost = minimise(
            space, view, evidence, self.weights, config.middle_scale, config.last_scale,
            config.iterations, state, normal,
        )  # fmt: skip
        whole = np.tril(normal) + np.tril(normal, -1).T
        return replace(fit, state=state, cost=cost, hessian=whole)

    def nearest(self, state: F64) -> int:
        """Return the number of the tangent that is nearest to a state's latent."""
        return int(np.square(self.centres - state[SHAPE:]).sum(1).argmin())
