"""Plain values as entities of rerun: the one place that knows how each of them is drawn.

Places are given in named frames, as ROS has them: transforms are entities of their own, and the
viewer puts everything where it belongs at the time that is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any
from zlib import crc32

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import to_quaternion
from sim_perception.models.shape import Surface
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Box3D, Camera, Detection
from sim_perception.viewer.sdk import rerun_sdk
from sim_perception.visualization import color_depth, color_instances, visibility_color

Array = npt.NDArray[Any]

TIMELINE = 'time'
SCORES = 'scores'
"""The entity of figures that tell how good something is."""
DEPTH_UNITS = 200.0
"""Depth is kept in 16 bits, in steps of 5 mm up to 327 m."""
FAR = 60.0
"""Metres at which the colours of depth end, which go from red to blue as those of points do."""
_JPEG_QUALITY = 90
_HIDDEN = 0.05
"""True objects of which less is visible are drawn as hidden."""


class Style(Enum):
    """How boxes are drawn.

    ``TRACKS``: a colour for each identity. ``GHOSTS``: the same colours, filled and translucent,
    for what is believed to be hidden. ``TRUTH``: thin, from green (visible) to red (hidden).
    ``FOUND``: white, of detectors. ``LABELS``: green. ``REJECTED``: red, labels that are not used.
    """

    TRACKS = 'tracks'
    GHOSTS = 'ghosts'
    TRUTH = 'truth'
    FOUND = 'found'
    LABELS = 'labels'
    REJECTED = 'rejected'


_FIXED = {
    Style.FOUND: (255, 255, 255),
    Style.LABELS: (60, 220, 60),
    Style.REJECTED: (235, 60, 50),
}
_RADII = {Style.TRACKS: 2.0, Style.GHOSTS: 1.0, Style.TRUTH: 0.8, Style.FOUND: 1.2}
"""Half the width of lines, in points of the screen."""


class Scene:
    """Logs what is seen and said at a time into a recording of rerun.

    Args:
        recording: a ``rerun.RecordingStream``.
        taxonomy: names and colours of the classes.
        max_points: of a cloud; of more, every n-th is shown.
    """

    def __init__(self, recording: Any, taxonomy: Taxonomy, max_points: int = 30_000) -> None:
        self._rr = rerun_sdk()
        self._recording = recording
        self.taxonomy = taxonomy
        self.max_points = max_points
        self._frames: dict[str, str] = {}
        self._cameras: dict[str, tuple[Camera, str]] = {}
        names = [(i, c.name, c.color) for i, c in enumerate(taxonomy.classes)]
        recording.log('/', self._rr.AnnotationContext(names), static=True)

    def at(self, stamp: int) -> None:
        """Set the time of all that this thread logs from now on, nanoseconds."""
        self._recording.set_time(TIMELINE, timestamp=np.datetime64(stamp, 'ns'))

    def transform(
        self, parent: str, child: str, parent_T_child: Array, *, static: bool = False
    ) -> None:
        """Log where a frame is in its parent: 4x4, at the time or for ever."""
        pose = self._rr.Transform3D(
            translation=parent_T_child[:3, 3],
            quaternion=to_quaternion(parent_T_child),
            parent_frame=parent,
            child_frame=child,
        )
        self._send(f'transforms/{child}', pose, static=static)

    def camera(self, entity: str, camera: Camera, frame: str) -> None:
        """Log a camera's calibration, its lens taken as ideal; only when it has changed.

        Args:
            entity: of the camera, whose images are ``ENTITY/image`` and so on.
            camera: the calibration.
            frame: the optical frame.
        """
        if self._cameras.get(entity) == (camera, frame):
            return
        self._cameras[entity] = camera, frame
        pinhole = self._rr.Pinhole(
            image_from_camera=camera.matrix,
            resolution=(camera.width, camera.height),
            image_plane_distance=2.0,
            parent_frame=frame,
            child_frame=pixels_of(entity),
        )
        self._send(entity, pinhole, static=True)

    def image(self, entity: str, image: npt.NDArray[np.uint8], camera: str) -> None:
        """Log an (H, W, 3) RGB image, or a grey one, as JPEG."""
        packed = self._rr.Image(image).compress(jpeg_quality=_JPEG_QUALITY)
        self._log(entity, packed, pixels_of(camera))

    def depth(self, entity: str, depth: npt.NDArray[np.float32], camera: str) -> None:
        """Log (H, W) metres; NaN is unknown."""
        steps = np.nan_to_num(depth * np.float32(DEPTH_UNITS), nan=0.0, posinf=0.0, neginf=0.0)
        packed = np.clip(np.rint(steps), 0, 65535).astype(np.uint16)
        _, png = cv2.imencode('.png', packed, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        image = self._rr.EncodedDepthImage(
            blob=png.tobytes(),
            media_type='image/png',
            meter=DEPTH_UNITS,
            colormap=self._rr.components.Colormap.Spectral,
            depth_range=(0.0, FAR * DEPTH_UNITS),
        )
        self._log(entity, image, pixels_of(camera))

    def classes(self, entity: str, ids: npt.NDArray[np.uint8], camera: str) -> None:
        """Log (H, W) class ids, shown in the taxonomy's colours."""
        self._log(entity, self._rr.SegmentationImage(ids), pixels_of(camera))

    def cloud(self, entity: str, xyz: npt.NDArray[np.float32], frame: str) -> None:
        """Log (N, 3) points of a sensor, coloured by distance as depth is."""
        points = xyz[:: max(1, -(-len(xyz) // self.max_points))]
        points = points[np.isfinite(points).all(1)]
        away = np.linalg.norm(points, axis=1)[None]
        radius = self._rr.Radius.ui_points(1.2)
        self._log(
            entity, self._rr.Points3D(points, colors=color_depth(away)[0], radii=radius), frame
        )

    def boxes(
        self,
        entity: str,
        detections: Sequence[Detection],
        frame: str,
        style: Style,
        notes: Sequence[str] = (),
    ) -> None:
        """Log the 3D boxes of detections in place of those before, empty ones too.

        Args:
            entity: where.
            detections: those without a 3D box are left out.
            frame: of their boxes.
            style: how they are drawn.
            notes: words behind the name of each object, or nothing at all.
        """
        named = zip(detections, notes or [''] * len(detections), strict=True)
        there = [pair for pair in named if pair[0].box3d is not None]
        if style is not Style.TRUTH:
            self._boxes(entity, there, frame, style, filled=style is Style.GHOSTS)
            return
        for name, hidden in (('visible', False), ('hidden', True)):
            chosen = [pair for pair in there if _is_hidden(pair[0]) is hidden]
            self._boxes(f'{entity}/{name}', chosen, frame, style, filled=hidden)

    def _boxes(
        self,
        entity: str,
        named: Sequence[tuple[Detection, str]],
        frame: str,
        style: Style,
        *,
        filled: bool,
    ) -> None:
        there = [one for one, _ in named]
        boxes = [one.box3d for one in there if one.box3d is not None]
        poses = np.array([box.parent_T_box for box in boxes], float).reshape(-1, 4, 4)
        modes = self._rr.components.FillMode
        drawn = self._rr.Boxes3D(
            centers=poses[:, :3, 3],
            sizes=np.array([box.size for box in boxes], float).reshape(-1, 3),
            quaternions=to_quaternion(poses) if boxes else np.zeros((0, 4)),
            colors=self._colors(there, style, 110 if filled else 255),
            radii=[self._rr.Radius.ui_points(_RADII.get(style, 1.5))] * len(boxes),
            labels=[self._name(one, note) for one, note in named],
            show_labels=style is not Style.TRUTH,
            fill_mode=modes.TransparentFillMajorWireframe if filled else modes.MajorWireframe,
        )
        self._log(entity, drawn, frame)

    def image_boxes(
        self, entity: str, detections: Sequence[Detection], camera: str, style: Style
    ) -> None:
        """Log the image boxes of detections in place of those before, empty ones too."""
        there = [one for one in detections if one.box2d is not None]
        boxes = np.array([one.box2d for one in there], float).reshape(-1, 4)
        drawn = self._rr.Boxes2D(
            array=boxes,
            array_format=self._rr.Box2DFormat.XYXY,
            colors=self._colors(there, style, 255),
            labels=[self._name(one) for one in there],
            show_labels=False,
        )
        self._log(entity, drawn, pixels_of(camera))

    def meshes(
        self,
        entity: str,
        placed: Sequence[tuple[Box3D, Surface]],
        frame: str,
        color: tuple[int, int, int] = (150, 175, 205),
    ) -> None:
        """Log surfaces, each in metres of its box, in place of those before, none too."""
        if not placed:
            self._log(entity, self._rr.Mesh3D.cleared(), frame)
            return
        vertices, faces, count = [], [], 0
        for box, surface in placed:
            pose = np.asarray(box.parent_T_box)
            vertices.append(surface.vertices @ pose[:3, :3].T + pose[:3, 3])
            faces.append(surface.faces + count)
            count += len(surface.vertices)
        points, triangles = np.concatenate(vertices), np.concatenate(faces)
        mesh = self._rr.Mesh3D(
            vertex_positions=points,
            triangle_indices=triangles,
            vertex_normals=vertex_normals(points, triangles),
            albedo_factor=color,
        )
        self._log(entity, mesh, frame)

    def figures(self, entity: str, values: Mapping[str, float]) -> None:
        """Log numbers by name; they become curves over time."""
        for name, value in values.items():
            self._send(f'{entity}/{name}', self._rr.Scalars(float(value)))

    def words(self, entity: str, text: str, level: str = 'INFO') -> None:
        """Log a line of text; its level is one of rerun's, such as ``WARN``."""
        self._send(entity, self._rr.TextLog(text, level=level))

    def _log(self, entity: str, what: Any, frame: str) -> None:
        if self._frames.get(entity) != frame:
            self._frames[entity] = frame
            self._send(entity, self._rr.CoordinateFrame(frame or 'unnamed'), static=True)
        self._send(entity, what)

    def _send(self, entity: str, what: Any, *, static: bool = False) -> None:
        # In parts: names of topics and frames may have what rerun's paths give a meaning.
        self._recording.log(entity.split('/'), what, static=static)

    def _colors(self, there: Sequence[Detection], style: Style, alpha: int) -> Array:
        colors = np.full((len(there), 4), alpha, np.uint8)
        if style is Style.TRUTH:
            shown = [
                visibility_color(1.0 if d.visibility is None else d.visibility) for d in there
            ]
            colors[:, :3] = np.array(shown).reshape(-1, 3)
        elif style in _FIXED:
            colors[:, :3] = _FIXED[style]
        else:
            colors[:, :3] = color_instances(np.array([[_hue(d.id) for d in there]], int))[0]
        return colors

    def _name(self, one: Detection, note: str = '') -> str:
        known = one.class_id < len(self.taxonomy)
        name = self.taxonomy.names[one.class_id] if known else ''
        return ' '.join(filter(None, (name, one.id, note)))


def pixels_of(camera: str) -> str:
    """Return the frame in which the pixels of a camera's entity are."""
    return f'{camera}/pixels'


def vertex_normals(vertices: Array, faces: Array) -> Array:
    """Return (V, 3) unit normals: the mean of the faces around a vertex, by their areas."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, faces[:, k], across)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _hue(identity: str) -> int:
    """Return a number that picks an identity's colour: equal for equal ones."""
    return 1 + (int(identity) if identity.isdecimal() else crc32(identity.encode())) % 4096


def _is_hidden(one: Detection) -> bool:
    return one.visibility is not None and one.visibility < _HIDDEN
