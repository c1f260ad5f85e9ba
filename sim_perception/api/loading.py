"""``load``: a name or a checkpoint folder becomes something to call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from sim_perception.resources import share_path
from sim_perception.suggestions import unknown

if TYPE_CHECKING:
    from sim_perception.api.labelling import AutoLabeler
    from sim_perception.api.networks import (
        DepthSegmentationModel,
        Detector3dModel,
        PermanenceModel,
        SurfaceCoordinatesModel,
    )
    from sim_perception.api.tracking import ObjectTracker

TOOLS = ('auto_labeler', 'tracker')
"""What can be loaded beside checkpoints."""
_SHAPES = ('shape_pca', 'shape_sdf')
_MANIFEST = 'MANIFEST'


def available() -> tuple[str, ...]:
    """Return the names that ``load`` knows: the shipped checkpoints and ``TOOLS``."""
    folders = [path.parent.name for path in share_path('models').glob(f'*/{_MANIFEST}')]
    return tuple(sorted({*folders, *TOOLS}))


@overload
def load(
    name: Literal['depth_segmentation', 'depth_segmentation_lite2', 'depth_segmentation_source'],
    **options: Any,
) -> DepthSegmentationModel: ...
@overload
def load(name: Literal['permanence'], **options: Any) -> PermanenceModel: ...
@overload
def load(
    name: Literal['detector3d', 'detector3d_auto', 'detector3d_camera', 'detector3d_true'],
    **options: Any,
) -> Detector3dModel: ...
@overload
def load(name: Literal['surface_coordinates'], **options: Any) -> SurfaceCoordinatesModel: ...
@overload
def load(name: Literal['tracker'], **options: Any) -> ObjectTracker: ...
@overload
def load(
    name: Literal[
        'auto_labeler',
        'shape_car',
        'shape_car_sdf',
        'shape_truck',
        'shape_pedestrian',
        'shape_cyclist',
    ],
    **options: Any,
) -> AutoLabeler: ...
@overload
def load(name: str | Path, **options: Any) -> Any: ...
def load(name: str | Path, **options: Any) -> Any:
    """Return something to call: a network, the tracker or the labeler. No ROS is needed.

    - ``depth_segmentation``: ``out = net(image, camera)`` has ``out.depth`` in metres,
      ``out.segmentation`` and ``out.names``.
    - ``permanence``: ``detections = net(image, camera, stamp)``, objects of a video, hidden ones
      too.
    - ``detector3d``: ``detections = net(points, image, camera)``, cars, trucks, pedestrians and
      cyclists as 3D boxes.
    - ``surface_coordinates``: ``crops = net(image, camera, boxes)``, masks, headings and sizes of
      cars.
    - ``tracker``: ``tracks = tracker(detections, stamp)``, identities that last through
      occlusions.
    - ``auto_labeler``: ``labels = labeler(points, image, camera, boxes)``, cars as 9D boxes with
      meshes; ``shape_truck``, ``shape_pedestrian`` and ``shape_cyclist`` are those of others.

    Images are (H, W, 3) uint8 RGB, lengths metres, stamps nanoseconds. ``camera`` is a
    ``sim_perception.Camera`` or the (3, 3) matrix of a pinhole. ``help()`` of what is returned
    says the rest: ``help(load('tracker'))``.

    Args:
        name: one of ``available()``, or the folder of a checkpoint, also of your own; a word
            without a slash is always a name. A shape space loads as the labeler that fits it.
        **options: of what is loaded, such as ``device='cuda'`` or ``threads=2`` of networks and
            ``mode='mono'`` of the labeler.

    Raises:
        ValueError: for an unknown name, or an option's value that this machine or program does
            not have.
        CheckpointError: (a ``ValueError``) for a folder that holds no usable checkpoint.
        TypeError: for an unknown option.
    """
    if name == 'tracker':
        from sim_perception.api.tracking import ObjectTracker

        return ObjectTracker(**options)
    if name == 'auto_labeler':
        from sim_perception.api.labelling import AutoLabeler

        return AutoLabeler(**_checked(AutoLabeler, options))
    return _of_checkpoint(_folder(name), options)


def _folder(name: str | Path) -> Path:
    """Return the folder of a checkpoint that is named or given.

    Raises:
        ValueError: if there is none.
    """
    path = Path(name)
    if name in available() or (isinstance(name, str) and not {*name} & {*'/\\.'}):
        if name not in available():
            hint = f'; the folder beside you: load({f"./{name}"!r})' if path.is_dir() else ''
            raise ValueError(unknown('name', name, available()) + hint)
        return share_path('models', name)
    if not path.is_dir():
        shipped = f'; the shipped one is load({path.name!r})' if path.name in available() else ''
        raise ValueError(f'there is no folder {path} (from {Path.cwd()}){shipped}')
    return path


def _of_checkpoint(folder: Path, options: dict[str, Any]) -> Any:
    """Return what runs the network of a checkpoint."""
    from sim_perception.models.checkpoint import CheckpointError, network_of

    network = network_of(folder)
    maker: Callable[..., Any] | None
    if network in _SHAPES:
        from sim_perception.api.labelling import AutoLabeler

        maker = AutoLabeler
    else:
        from sim_perception.api.networks import MODELS

        maker = MODELS.get(network)
    if maker is None:
        raise CheckpointError(
            f'{folder} holds a {network!r} network, which is a part of training and runs there: '
            'python -m training --help'
        )
    return maker(folder, **_checked(maker, options))


def _checked(maker: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return options after looking whether there are such.

    Raises:
        TypeError: naming the first that there is not, and those that there are.
    """
    parameters = inspect.signature(maker).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.default is not p.empty]
    for name in options:
        if name not in known:
            raise TypeError(unknown('option', name, known))
    return options
