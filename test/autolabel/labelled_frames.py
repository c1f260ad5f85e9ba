"""Hand-made labelled frames, and a shape space of boxes without a checkpoint."""

from functools import cache

import numpy as np
import torch

from sim_perception.autolabel.records import LabelledFrame
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert, make_transform
from sim_perception.models.shape import ShapeConfig, ShapePca
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera, ShapeLabel

TAXONOMY = load_taxonomy()
CAR = TAXONOMY.id_of('car')
CAMERA = Camera(320, 120, 180.0, 181.0, 160.5, 59.0)
SIZE = (4.2, 1.7, 1.5)


@cache
def box_space():
    """A space whose only shape is a box with rounded edges, of the class's mean size."""
    config = ShapeConfig(components=2, mean_size=(4.6, 1.9, 1.63), spacing=0.15)
    model = ShapePca(config)
    q = torch.tensor(config.node_positions()).abs() - torch.tensor(config.mean_size) / 2
    outside = q.clamp(min=0).square().sum(-1).sqrt()
    model.grid[0] = (outside + q.max(-1).values.clamp(max=0)).float()
    return model


def camera_pose(pitch=0.0):
    """camera_T_level of a camera 1.6 m above the ground that looks ahead and down by ``pitch``."""
    mount = from_euler(0.0, pitch, 0.0, (0.3, 0.1, 1.6))
    return invert(mount @ make_transform(BODY_T_OPTICAL[:3, :3], (0, 0, 0)))


def made_label(x, y, yaw, *, identity='', accepted=True, size=SIZE):
    pose = from_euler(0.0, 0.0, yaw, (x, y, size[2] / 2))
    spread = np.diag(np.arange(1, 8) * 1e-3)
    return ShapeLabel(
        class_id=CAR,
        box2d=(10.25, 20.5, 90.75, 60.0),
        accepted=accepted,
        reason='' if accepted else 'low_confidence',
        confidence=0.875 if accepted else 0.25,
        box3d=Box3D(pose, size),
        latent=np.array([0.1, -0.2]),
        body_size=size,
        covariance=spread,
        measures={'log_points': float(np.log(57))},
        id=identity,
    )


def empty_label():
    """A detection without a fit."""
    return ShapeLabel(CAR, (0.0, 0.0, 9.0, 9.0), False, 'no_points', 0.0)


def made_frames(pitch=0.0):
    """Two frames with a car seen in both, one partly behind it, and rejected ones."""
    frames = []
    for k in range(2):
        labels = (
            made_label(9.0 + k, 1.0, 0.3, identity='7'),
            empty_label(),
            made_label(15.0, 2.6, -2.5),
            made_label(25.0, -3.0, 1.0, accepted=False),
        )
        frames.append(
            LabelledFrame(
                name=f'street_{k:04d}',
                stamp=1_700_000_000_000_000_000 + k * 100_000_000,
                camera=CAMERA,
                camera_T_level=camera_pose(pitch),
                labels=labels,
                world_T_level=from_euler(0, 0, 0.2 * k, (5.0 * k, 1.0, 0.0)),
                camera_frame='camera_optical_frame',
            )
        )
    return frames
