"""Settings of labelling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

MODES = ('lidar', 'mono', 'fused')
"""``lidar``: points and image boxes; ``mono``: the image and predicted depth; ``fused``: points,
and what the image says of mask, size and heading."""
REFINERS = ('fit', 'sdflabel', 'photometric')
"""``fit``: of second order, without rendering, the default; ``sdflabel``: by rendered coordinates
and surface points, first order; ``photometric``: by textured rendering, without LiDAR."""
_MODES_OF = {'sdflabel': ('lidar', 'fused'), 'photometric': ('mono',)}
"""In which modes the ways to fit work that are not the default."""


def check_way(mode: str, refine: str) -> None:
    """Check that labels of a mode can be fitted in a way.

    Args:
        mode: should be of ``MODES``.
        refine: should be of ``REFINERS``.

    Raises:
        ValueError: for unknown names, or a way that the mode does not have.
    """
    if mode not in MODES:
        raise ValueError(f'unknown mode {mode!r}; known: {", ".join(MODES)}')
    if refine not in REFINERS:
        raise ValueError(f'unknown refinement {refine!r}; known: {", ".join(REFINERS)}')
    possible = _MODES_OF.get(refine, MODES)
    if mode not in possible:
        raise ValueError(
            f'the refinement {refine!r} does not work in mode {mode!r}, but in: '
            + ', '.join(possible)
        )


_NO_CAR = {'size_shift': (0.0, 0.0, 0.0), 'population': (0.0, 0.0, 0.0), 'mirrors': False}
_OTHERS: dict[str, dict[str, Any]] = {
    'truck': {'max_height': 4.6},
    'pedestrian': {'gap': 0.3, 'least_points': 12, 'accept_confidence': 0.35},
    'cyclist': {'gap': 0.35, 'least_points': 12, 'accept_confidence': 0.35},
}
"""What differs for objects that are no cars: taller ones, and people, who stand close together,
return few points, and whose small boxes count as found from an IoU of .5 on at KITTI."""


@dataclass(frozen=True)
class LabelConfig:
    """How labels are made. Lengths are metres, angles radians, image lengths pixels.

    Attributes:
        max_range: points farther from the sensor are ignored.
        least_points: fewer on an object, and it is rejected.
        most_points: more on an object are thinned evenly to so many.
        ground_margin: points less than this above the ground belong to it.
        max_height: points higher above the ground belong to no object.
        gap: points farther apart than this in plan view, plus ``gap_per_metre`` of their range,
            belong to different objects.
        gap_per_metre: see ``gap``.
        around: points are looked at in the image box grown by this share of its sides: what
            belongs to neighbours reaches out of the box, and rays beside the object bound it.
        clusters: how many clusters per object are tried.
        coarse_points: of the first fits of the hypotheses.
        look_iterations, coarse_iterations: of the first fit of all, and of the better half.
        kept: hypotheses that are fitted to the end at most.
        clear: those that then cost so many times the best are not.
        iterations: of that.
        first_scale, middle_scale, last_scale: distances beyond which a point is an outlier: when
            hypotheses are compared, when the best are fitted on, and in the end.
        point_sigma: deviation of a point from the surface: noise, and shapes not in the space.
        point_count: more points than these count as these.
        facing: see ``fit_kernels.Weights``.
        edge_sigma: deviation of an edge of the image box, pixels.
        edge_sigma_share: added to it, share of the box's side.
        edge_width: see ``fit_kernels.Weights``.
        border: edges of the image box nearer to the image's border are unknown, pixels.
        ground_sigma: deviation of the wheels from the ground.
        past_rays: rays that went past an object, at most so many.
        past_weight: see ``fit_kernels.Weights``.
        contour_rays: rays along an object's mask, at most so many.
        contour_sigma: deviation of a mask's contour, pixels.
        size_shift: added to the expected log length, width, height of the shape space: fits of
            its rounded shapes to sharp corners come out a little too large without it.
        size_spread: added to the deviation of the log sizes: objects of other lengths than others
            of their form.
        population: logarithm of how much longer, wider, higher the cars are than those that the
            shape space has learnt from.
        camera_height: of the camera above the ground, for labels from images; None for its height
            in the level frame where that is plausible, as in ``base_link``, else that of the
            predicted depth.
        road_slope: deviation of the road's height from a plane below the camera, per metre, for
            labels from images. Their distances rest on it: hilly streets want more.
        traffic: side of the road that people drive on, ``right`` or ``left``: an image that shows
            badly which way a car heads is helped by where it stands. Empty: not known.
        accept_confidence: labels below are rejected.
        mirrors: boxes are as wide as the car with its mirrors; without, as the body.
        cuboid_boxes: image boxes are those of the 3D box's corners, as KITTI's are and those of
            detectors that learnt from them; without, of the object's outline. A car's outline is
            smaller than its box, so that cars are fitted too large where this is wrong.
    """

    max_range: float = 60.0
    least_points: int = 20
    most_points: int = 240
    ground_margin: float = 0.15
    max_height: float = 3.5
    gap: float = 0.45
    gap_per_metre: float = 0.012
    around: float = 0.35
    clusters: int = 2
    coarse_points: int = 64
    look_iterations: int = 3
    coarse_iterations: int = 6
    kept: int = 3
    clear: float = 1.6
    iterations: int = 16
    first_scale: float = 0.6
    middle_scale: float = 0.3
    last_scale: float = 0.12
    point_sigma: float = 0.07
    point_count: float = 120.0
    facing: float = 0.25
    edge_sigma: float = 1.5
    edge_sigma_share: float = 0.004
    edge_width: float = 8.0
    border: float = 3.0
    ground_sigma: float = 0.05
    past_rays: int = 64
    past_weight: float = 80.0
    contour_rays: int = 40
    contour_sigma: float = 2.5
    size_shift: tuple[float, float, float] = (-0.035, -0.01, 0.0)
    size_spread: float = 0.0
    population: tuple[float, float, float] = (0.0, 0.0, 0.0)
    camera_height: float | None = None
    road_slope: float = 0.001
    traffic: str = ''
    accept_confidence: float = 0.6
    mirrors: bool = False
    cuboid_boxes: bool = False

    def __post_init__(self) -> None:
        positive = (
            'max_range', 'least_points', 'coarse_points', 'kept', 'look_iterations', 'iterations',
            'last_scale', 'point_sigma', 'edge_sigma', 'ground_sigma', 'clusters',
        )  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f'{name} must be positive, got {getattr(self, name)}')
        if not self.first_scale >= self.middle_scale >= self.last_scale:
            raise ValueError('first_scale, middle_scale and last_scale must not ascend')
        if not 0 <= self.accept_confidence <= 1:
            raise ValueError(f'accept_confidence must be in [0, 1], got {self.accept_confidence}')
        if self.camera_height is not None and not self.camera_height > 0:
            raise ValueError(f'camera_height must be positive, got {self.camera_height}')
        if not self.road_slope >= 0:
            raise ValueError(f'road_slope must not be negative, got {self.road_slope}')
        if self.traffic not in ('', 'right', 'left'):
            raise ValueError(f"traffic must be 'right', 'left' or '', got {self.traffic!r}")


def for_category(config: LabelConfig, category: str) -> LabelConfig:
    """Return settings as objects of a category need them; for cars as they are."""
    if category == 'car':
        return config
    return replace(config, **{**_NO_CAR, **_OTHERS.get(category, {})})


EUROPEAN_CARS = (-0.154, -0.12, -0.02)
"""``population`` of the smaller cars of Karlsruhe in 2011, as KITTI's labels have them (3.88 x
1.63 x 1.53 m), where the simulator's mean car is 4.53 x 1.83 x 1.59 m."""

KITTI = LabelConfig(
    size_shift=(0.0, 0.0, 0.0),
    population=EUROPEAN_CARS,
    point_sigma=0.08,
    edge_sigma=1.0,
    edge_sigma_share=0.003,
    cuboid_boxes=True,
    camera_height=1.65,
    road_slope=0.004,
    traffic='right',
)
"""Settings for scans and image boxes of KITTI, whose cameras stand 1.65 m above the road."""

PRESETS = {'simulation': LabelConfig(), 'kitti': KITTI}
"""Settings by the data that they are for."""
