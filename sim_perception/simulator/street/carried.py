"""The sensors that a scene's vehicle carries, drawn from the scenario."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Sensor
from sim_perception.simulator.rig import Calibration, SensorMount, Stream
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.scenario_parts import CameraMount, LidarMount
from sim_perception.simulator.street.draws import (
    draw_camera,
    draw_lidar_model,
    draw_sensor,
    lidar_pose,
)
from sim_perception.types import Camera

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CarriedCamera:
    """A camera on the vehicle.

    Attributes:
        stream: what it sends.
        camera: of its raw images.
        base_T_camera: 4x4 pose of the optical frame in ``base_link``.
        sensor: what it does to light.
        seed: of its noise, beside the time.
        rectification: 3x3 R of its CameraInfo; None for none.
        projection: 3x4 P of its CameraInfo; None for that of the camera itself.
    """

    stream: Stream
    camera: Camera
    base_T_camera: F64
    sensor: Sensor
    seed: int = 0
    rectification: F64 | None = None
    projection: F64 | None = None


@dataclass(frozen=True)
class CarriedLidar:
    """A LiDAR on the vehicle; ``seed`` is of its noise, ``base_T_lidar`` a 4x4 pose.

    ``model`` is the one drawn out of those that ``mount`` names.
    """

    stream: Stream
    mount: LidarMount
    base_T_lidar: F64
    model: str
    seed: int = 0


def carried_cameras(scenario: Scenario) -> tuple[CarriedCamera, ...]:
    """Return the vehicle's cameras, the first one first."""
    streams = [stream for stream in scenario.streams if stream.kind == 'camera']
    if not scenario.sensors:
        camera, pose = draw_camera(scenario)
        return (CarriedCamera(streams[0], camera, pose, draw_sensor(scenario)),)
    mounts = {sensor.name: sensor for sensor in scenario.sensors}
    return tuple(_camera(scenario, stream, mounts) for stream in streams)


def carried_lidars(scenario: Scenario) -> tuple[CarriedLidar, ...]:
    """Return the vehicle's LiDARs, the first one first."""
    streams = [stream for stream in scenario.streams if stream.kind == 'lidar']
    if not scenario.sensors:
        pose = lidar_pose(scenario)
        if scenario.lidar is None:
            return ()
        model = draw_lidar_model(scenario, scenario.lidar)
        return tuple(CarriedLidar(s, scenario.lidar, pose, model) for s in streams)
    mounts = {sensor.name: sensor for sensor in scenario.sensors}
    found = []
    for number, stream in enumerate(streams):
        mount = scenario.mount_of(mounts[stream.name])
        assert isinstance(mount, LidarMount)
        mount = mount.model_copy(update={'rate_hz': stream.rate_hz})
        seed = _seed_of(stream.name) if number else 0
        model = draw_lidar_model(scenario, mount, stream.name if number else '')
        found.append(CarriedLidar(stream, mount, mounts[stream.name].base_T_sensor, model, seed))
    return tuple(found)


def _camera(scenario: Scenario, stream: Stream, mounts: dict[str, SensorMount]) -> CarriedCamera:
    sensor = mounts[stream.name]
    first = sensor.name == scenario.streams[0].name
    # A pair is of equal cameras: what is drawn for one holds for both.
    left = mounts[sensor.stereo_with] if sensor.stereo_with else sensor
    common = scenario.mount_of(left)
    assert isinstance(common, CameraMount)
    mount = common.model_validate({**common.model_dump(), **sensor.settings})
    same = left.name == scenario.streams[0].name
    key = np.random.SeedSequence([scenario.seed, 0 if same else _seed_of(left.name)])
    seed = scenario.seed if same else int(key.generate_state(1)[0])
    own = scenario.model_copy(update={'camera': mount, 'seed': seed})
    camera = draw_camera(own)[0] if sensor.calibration is None else sensor.calibration.camera()
    rectification, projection = _rectified(sensor, camera, mounts)
    return CarriedCamera(
        stream,
        camera,
        sensor.base_T_sensor,
        draw_sensor(own),
        0 if first else _seed_of(sensor.name),
        rectification,
        projection,
    )


def _rectified(
    sensor: SensorMount, camera: Camera, mounts: dict[str, SensorMount]
) -> tuple[F64 | None, F64 | None]:
    """Return R and P of a camera's CameraInfo."""
    found: Calibration | None = sensor.calibration
    if found is not None and found.projection_matrix is not None and camera.distortion:
        turn = np.array(found.rectification_matrix.data, float).reshape(3, 3)
        return turn, np.array(found.projection_matrix.data, float).reshape(3, 4)
    if not sensor.stereo_with:
        return None, None
    # Without distortion readers take P for the camera of the raw image as well.
    left = mounts[sensor.stereo_with]
    baseline = float(np.linalg.norm(np.subtract(sensor.xyz, left.xyz)))
    return None, np.column_stack([camera.matrix, [-camera.fx * baseline, 0.0, 0.0]])


def _seed_of(name: str) -> int:
    return zlib.crc32(name.encode())
