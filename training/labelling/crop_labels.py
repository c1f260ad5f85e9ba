"""Crops of a recording's accepted labels: what was fitted is rendered as the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sim_perception.autolabel.records import LabelledFrame, read_frames
from sim_perception.autolabel.rendering import PosedShapes, Rendering, crop_pixels, render
from sim_perception.geometry.windows import cut_window, window_about
from sim_perception.models.shape import ShapePca
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import ShapeLabel
from training.datasets.images.files import read_rgb
from training.datasets.objects.crops import CELL, CONTEXT, HEIGHT, WIDTH, Crop, encode_coordinates
from training.datasets.sample import DatasetError
from training.labelling.crop_scenes import observation_angle

F64 = npt.NDArray[np.float64]

_BEHIND = 0.3
"""A surface nearer than another by so much hides it, metres."""
_LEAST_SEEN = 12


def crops_of_labels(folder: Path, model: ShapePca) -> Iterator[Crop]:
    """Yield a crop of every accepted label of the shape space's category.

    Masks and coordinates are those of the fitted shapes; a label's confidence is its weight.

    Args:
        folder: that the verb ``label`` wrote.
        model: the shape space that its latents are of.

    Raises:
        DatasetError: if there are no labels.
        RecordError: if a file of labels is malformed.
    """
    if not (folder / 'frames').is_dir():
        raise DatasetError(f'{folder} holds no labels; make some with `python -m training label`')
    own = load_taxonomy().id_of(model.config.category)
    for frame in read_frames(folder / 'frames'):
        # latents of other classes are of other spaces
        kept = [label for label in frame.accepted if label.class_id == own and label.box3d]
        if not kept:
            continue
        image = read_rgb(folder / 'kitti' / 'image_2' / f'{frame.name}.png')
        for label in kept:
            crop = _crop(frame, label, kept, image, model)
            if crop is not None:
                yield crop


def _crop(
    frame: LabelledFrame, label: ShapeLabel, others: list[ShapeLabel],
    image: npt.NDArray[np.uint8], model: ShapePca,
) -> Crop | None:  # fmt: skip
    assert label.box3d is not None
    assert label.body_size is not None
    box, camera = np.array(label.box2d, np.float64), frame.camera
    window = window_about(box, WIDTH / HEIGHT, CONTEXT)
    near = [other for other in others if other is not label and _meets(other, window)]
    drawn = draw_shapes(frame, [label, *near], window, model)
    depth = np.where(drawn.hit.numpy(), drawn.depth.numpy(), np.inf)
    amodal = drawn.hit[0].numpy()
    hidden = depth[1:].min(0, initial=np.inf) < depth[0] - _BEHIND
    visible = amodal & ~hidden
    if visible.sum() < _LEAST_SEEN:
        return None
    camera_T_box = frame.camera_T_level @ label.box3d.parent_T_box
    shares = drawn.coordinates[0].numpy()
    return {
        'image': cut_window(image, window, WIDTH, HEIGHT),
        'visible': visible.astype(np.uint8),
        'amodal': amodal.astype(np.uint8),
        'coordinates': encode_coordinates(np.where(visible[..., None], shares, 0)),
        'window': window.astype(np.float32),
        'box': box.astype(np.float32),
        'intrinsics': np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32),
        'camera_T_box': camera_T_box.astype(np.float32),
        'size': np.array(label.box3d.size, np.float32),
        'body_size': np.array(label.body_size, np.float32),
        'angle': np.float32(observation_angle(camera_T_box, frame.camera_T_level)),
        'latent': np.asarray(label.latent, np.float32),
        'occluded': np.float32(1 - visible.sum() / max(amodal.sum(), 1)),
        'truncated': np.float32(0),
        'weight': np.float32(label.confidence),
    }


def _meets(label: ShapeLabel, window: F64) -> bool:
    box = label.box2d
    return bool(
        box[0] < window[2] and box[2] > window[0] and box[1] < window[3] and box[3] > window[1]
    )


def draw_shapes(
    frame: LabelledFrame, labels: list[ShapeLabel], window: F64, model: ShapePca
) -> Rendering:
    """Render labels' shapes, each alone, over a window."""
    poses = [frame.camera_T_level @ label.box3d.parent_T_box for label in labels if label.box3d]
    shapes = PosedShapes(
        rotation=torch.tensor(np.array([pose[:3, :3] for pose in poses]), dtype=torch.float32),
        translation=torch.tensor(np.array([pose[:3, 3] for pose in poses]), dtype=torch.float32),
        size=torch.tensor([label.body_size for label in labels], dtype=torch.float32),
        latent=torch.tensor(np.array([label.latent for label in labels]), dtype=torch.float32),
        mean_size=torch.tensor(model.config.mean_size),
    )
    windows = torch.tensor(window, dtype=torch.float32).expand(len(labels), 4)
    pixels = crop_pixels(windows, WIDTH // CELL, HEIGHT // CELL)
    with torch.no_grad():
        return render(lambda p, z: model.sdf(p, z)[0], shapes, frame.camera, pixels)
