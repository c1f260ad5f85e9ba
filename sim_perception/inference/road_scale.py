"""Metric scale from what a robot knows: its camera's height above the road."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.road_plane import fit_road_plane
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera

# The camera stays where it is on the robot: its predicted height is averaged over so many images.
_IMAGES = 15
#: A predicted height that is off by more than this factor is not believed to be off in scale
#: alone, or the given height is not the one above the road.
MOST = 1.35


class RoadScale:
    """Finds the factor that puts the road where the camera's height says it is.

    Attributes:
        camera_height: above the road, metres; None to leave depth as predicted.
    """

    def __init__(self, taxonomy: Taxonomy, camera_height: float | None = None) -> None:
        """Start without a past.

        Raises:
            ValueError: for a height that is not positive.
        """
        if camera_height is not None and not camera_height > 0:
            raise ValueError(f'camera height must be positive, got {camera_height} m')
        self.camera_height = camera_height
        self._road = taxonomy.id_of('road') if 'road' in taxonomy.names else None
        self._heights: deque[float] = deque(maxlen=_IMAGES)
        self._camera: Camera | None = None

    @property
    def predicted_height(self) -> float | None:
        """Height of the camera above the road by predicted depth, metres; None while unknown."""
        return float(np.median(self._heights)) if self._heights else None

    @property
    def believed(self) -> bool:
        """Whether predicted and given height agree well enough to scale depth."""
        height, known = self.predicted_height, self.camera_height
        return height is not None and known is not None and 1 / MOST < known / height < MOST

    def factor(
        self,
        depth: npt.NDArray[np.floating],
        classes: npt.NDArray[np.uint8],
        camera: Camera | None,
    ) -> float:
        """Take an image into account and return what to multiply its depth with.

        Args:
            depth: (H, W) predicted metres.
            classes: (H, W) class ids.
            camera: of the image; of an unknown one depth is left alone.
        """
        if self.camera_height is None or camera is None or self._road is None:
            return 1.0
        if camera != self._camera:
            self._heights.clear()
            self._camera = camera
        plane = fit_road_plane(depth, classes == self._road, camera)
        if plane is not None:
            self._heights.append(plane.height)
        height = self.predicted_height
        return self.camera_height / height if height is not None and self.believed else 1.0


def road_scale_text(scale: RoadScale) -> str:
    """Return what is done about the scale of depth, for people."""
    height, known = scale.predicted_height, scale.camera_height
    if known is None:
        return "the network's: the height of the camera above the road is not known"
    if height is None:
        return f'waits for a road; the camera is {known:.2f} m above it'
    if scale.believed:
        return f'{known / height:.3f} by the road {known:.2f} m below the camera'
    return (
        f"the network's: it sees the road {height:.2f} m below the camera, not {known:.2f} m; "
        'set camera_height, or base_frame to a frame on the ground'
    )
