"""Truth about objects in one frame, hidden ones included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import (
    BRAKE,
    LEFT,
    LIGHT_NAMES,
    RIGHT,
    Objects,
    TrafficLights,
    WorldState,
)

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ObjectTruth:
    """K objects within range of the ego, in the order of the scene's objects.

    Attributes:
        row: (K,) int32 row in ``Objects``.
        id: (K,) uint16.
        class_id: (K,) uint8.
        family: K names.
        size: (K, 3) float32 length, width, height, metres.
        world_T_object: (K, 4, 4) float64 poses of the box centres.
        velocity, acceleration, net_force: (K, 3) float64 in the world, SI units.
        angular_velocity: (K, 3) float64 in the world, rad/s.
        visibility: (K,) float32 visible fraction of the amodal coverage; 0 when outside the
            image or hidden.
        box_amodal: (K, 4) float32 x1 y1 x2 y2 of the whole object, possibly beyond the image;
            NaN when behind the camera.
        box_visible: (K, 4) float32 of the visible pixels; NaN when there are none.
        coverage: (K,) int32 pixels that the object would cover if nothing hid it.
        lamps: K tuples of what vehicles' lamps say: 'brake', 'left', 'right'; empty where no
            lamps switch. Who indicates does so through the dark halves of the blinking, too.
    """

    row: npt.NDArray[np.int32]
    id: npt.NDArray[np.uint16]
    class_id: npt.NDArray[np.uint8]
    family: tuple[str, ...]
    size: F32
    world_T_object: F64
    velocity: F64
    acceleration: F64
    net_force: F64
    angular_velocity: F64
    visibility: F32
    box_amodal: F32
    box_visible: F32
    coverage: npt.NDArray[np.int32]
    lamps: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.id)


def object_truth(
    objects: Objects,
    state: WorldState,
    max_range: float,
    *,
    visibility: F32,
    box_amodal: F32,
    box_visible: F32,
    coverage: npt.NDArray[np.int32],
) -> ObjectTruth:
    """Collect the truth of every object within ``max_range`` metres of the ego's base.

    The four image quantities are given for all M objects, as the renderer returns them.
    """
    delta = state.world_T_object[:, :2, 3] - state.world_T_base[:2, 3]
    near = np.flatnonzero((delta**2).sum(1) <= max_range**2)
    return ObjectTruth(
        row=near.astype(np.int32),
        id=objects.id[near],
        class_id=objects.class_id[near],
        family=tuple(objects.family[i] for i in near),
        size=objects.size[near],
        world_T_object=state.world_T_object[near],
        velocity=state.velocity[near],
        acceleration=state.acceleration[near],
        net_force=state.net_force[near],
        angular_velocity=state.angular_velocity[near],
        visibility=visibility[near],
        box_amodal=box_amodal[near],
        box_visible=box_visible[near],
        coverage=coverage[near],
        lamps=() if state.lamps is None else tuple(_names(state.lamps[i]) for i in near),
    )


def _names(bits: np.uint8) -> tuple[str, ...]:
    known = ((BRAKE, 'brake'), (LEFT, 'left'), (RIGHT, 'right'))
    return tuple(name for bit, name in known if bits & bit)


@dataclass(frozen=True)
class LightTruth:
    """K heads of traffic lights within range of the ego.

    Attributes:
        id: (K,) uint16.
        world_T_head: (K, 4, 4) float64 poses of the heads' middles; x points from the traffic
            that heeds them, away.
        size: (K, 3) float32 length, width, height, metres.
        shows: K of 'red', 'yellow', 'green'.
    """

    id: npt.NDArray[np.uint16]
    world_T_head: F64
    size: F32
    shows: tuple[str, ...]


def light_truth(lights: TrafficLights, state: WorldState, max_range: float) -> LightTruth:
    """Collect the truth of every traffic light within ``max_range`` metres of the ego's base.

    Raises:
        ValueError: if the state is of a scene without lights that switch.
    """
    if state.lights is None:
        raise ValueError('the state tells nothing of traffic lights; was it made by the scene?')
    pose = state.world_T_instance[lights.instance] @ lights.instance_T_head
    delta = pose[:, :2, 3] - state.world_T_base[:2, 3]
    near = np.flatnonzero((delta**2).sum(1) <= max_range**2)
    shows = tuple(LIGHT_NAMES[k] for k in state.lights[near])
    return LightTruth(lights.id[near], pose[near], lights.size[near], shows)
