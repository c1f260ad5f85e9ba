"""The second-order fit in a shape space that a network spans.

The loops read grids that are linear in the latent. A network's shapes are not, so the fit is made
in the tangent at the mean shape and then again in that of the nearest typical member. A tangent is
made when it is first needed and kept, so that most objects take hardly longer than in a linear
space.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.fit.kernels import Evidence, minimise
from sim_perception.autolabel.fit.posed_shape import SHAPE, Space, View
from sim_perception.autolabel.fit.refine import F64, Refiner, ShapeFit, make_space
from sim_perception.models.shape import SIZE
from sim_perception.models.shape_sdf import ShapeSdf


class SdfRefiner(Refiner):
    """Fits members of a network's shape space; see ``Refiner``."""

    def __init__(self, model: ShapeSdf, config: LabelConfig) -> None:
        super().__init__(model.tangent(), config)
        self._model = model
        self.centres = np.concatenate(
            [np.zeros((1, model.config.components)), self.seeds[:, SIZE:]]
        )
        self._spaces: dict[int, Space] = {0: self.space}

    def refine(self, first: F64, evidence: Evidence, view: View) -> ShapeFit:
        """Return the best minimum reached from (H, 7 + K) first states."""
        fit = super().refine(first, evidence, view)
        space = self.space_about(fit.state)
        state, normal = fit.state.copy(), np.zeros_like(fit.hessian)
        config = self.config
        cost = minimise(
            space, view, evidence, self.weights, config.middle_scale, config.last_scale,
            config.iterations, state, normal,
        )  # fmt: skip
        whole = np.tril(normal) + np.tril(normal, -1).T
        return replace(fit, state=state, cost=cost, hessian=whole)

    def space_about(self, state: F64) -> Space:
        """Return the tangent that is nearest to a state's latent."""
        nearest = int(np.square(self.centres - state[SHAPE:]).sum(1).argmin())
        if nearest not in self._spaces:
            self._spaces[nearest] = make_space(
                self._model.tangent(self.centres[nearest]), cuboid=self.config.cuboid_boxes
            )
        return self._spaces[nearest]
