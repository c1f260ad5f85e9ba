"""What the tracker publishes: tracks, and on demand image boxes, states and markers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray
from visualization_msgs.msg import MarkerArray

from sim_perception.bags.typestore import typestore
from sim_perception.ros import qos
from sim_perception.ros.clouds import to_cloud
from sim_perception.ros.markers import track_markers
from sim_perception.ros.tracks import to_track_array, to_track_array_2d, track_states
from sim_perception.ros.wire import to_wire
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Track

Array = npt.NDArray[np.float64]
_TYPES = {
    'tracks': Detection3DArray,
    'tracks_occluded': Detection3DArray,
    'track_states': PointCloud2,
    'markers': MarkerArray,
}


class TrackOutputs:
    """The publishers of a tracker node.

    Args:
        node: their owner.
        taxonomy: names and colours of the classes.
        image: whether image boxes are tracked; then there is only ``~/tracks_2d``.
    """

    def __init__(self, node: LifecycleNode, taxonomy: Taxonomy, *, image: bool) -> None:
        self._node = node
        self._taxonomy = taxonomy
        typestore()  # made now, rather than with the first frame
        types = {'tracks_2d': Detection2DArray, **({} if image else _TYPES)}
        self._publishers: dict[str, Any] = {
            name: qos.advertise(node, message_type, f'~/{name}', qos.stream_qos())
            for name, message_type in types.items()
        }

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()

    def wants(self, name: str) -> bool:
        """Return whether someone subscribes to an output."""
        return qos.is_wanted(self._publishers[name])

    def publish(
        self,
        visible: Sequence[Track],
        occluded: Sequence[Track],
        header: Header,
        output_T_tracking: Array,
    ) -> None:
        """Publish tracks with 3D boxes.

        Args:
            visible: tracks that are seen.
            occluded: tracks that are hidden or out of view.
            header: of the data, in the frame of the outputs.
            output_T_tracking: (4, 4), maps the tracking frame to that frame.
        """
        seen = to_track_array(visible, self._taxonomy, header, output_T_tracking)
        hidden = to_track_array(occluded, self._taxonomy, header, output_T_tracking)
        self._publishers['tracks'].publish(to_wire(seen))
        self._publishers['tracks_occluded'].publish(to_wire(hidden))
        tracks = [*visible, *occluded]
        if self.wants('track_states'):
            rows = track_states(tracks, output_T_tracking)
            self._publishers['track_states'].publish(to_cloud(rows, header))
        if self.wants('markers'):
            velocities = {str(t.id): output_T_tracking[:3, :3] @ t.velocity for t in tracks}
            markers = track_markers(seen, hidden, velocities, self._taxonomy)
            self._publishers['markers'].publish(markers)

    def publish_2d(self, tracks: Sequence[Track], boxes: Array, header: Header) -> None:
        """Publish tracks with their (N, 4) image boxes; rows of NaN are left out."""
        message = to_track_array_2d(tracks, boxes, self._taxonomy, header)
        self._publishers['tracks_2d'].publish(to_wire(message))
