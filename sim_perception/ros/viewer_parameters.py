"""The parameters of the ``viewer`` node; see ``parameters``."""

from __future__ import annotations

import dataclasses

from sim_perception.ros import shared_parameters as shared
from sim_perception.ros.parameter_fields import parameter
from sim_perception.viewer.output import SHOW, WEB_PORT


@dataclasses.dataclass(frozen=True)
class ViewerParameters:
    """Parameters of the ``viewer`` node."""

    autostart: bool = shared.autostart()
    show: str = parameter(
        'auto',
        "where: 'window', 'web' is a page that a browser on this machine opens, 'auto' a window "
        'where there is a display',
        choices=SHOW,
    )
    save: str = parameter('', 'write a .rrd file of this name instead, for later')
    web_port: int = parameter(
        WEB_PORT, 'of the page, or the next that is free', low=1024, high=65000
    )
    cameras: tuple[str, ...] = parameter(
        ('camera',),
        'names of the cameras: their topics are NAME/image_raw and NAME/camera_info',
    )
    image_transport: str = shared.image_transport()
    rectified: bool = shared.rectified()
    boxes: str = parameter(
        '', 'further topics of vision_msgs/Detection3DArray to show, separated by spaces'
    )
    view_frame: str = parameter(
        'base_link', 'frame with z up that the 3D view follows', frame=True
    )
    frame_prefix: str = shared.frame_prefix()
    max_rate: float = parameter(
        10.0,
        'messages of a topic that are shown per second; others are dropped unread',
        low=0.1,
        high=100.0,
        read_at='always',
    )
    max_points: int = parameter(
        30_000, 'points of a cloud that are shown; of more, every n-th', low=1, high=10_000_000
    )
    jump_threshold: float = shared.jump_threshold()
    input_timeout: float = shared.input_timeout()

    def __post_init__(self) -> None:
        object.__setattr__(self, 'cameras', tuple(self.cameras))
