"""Draws one scene's camera, sensor and light from a scenario's ranges."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, make_transform
from sim_perception.simulator.common.scene import Environment, Sensor
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.scenario_parts import LidarMount, Span
from sim_perception.types import Camera

F64 = npt.NDArray[np.float64]


def stream(scenario: Scenario, purpose: str) -> np.random.Generator:
    """Return the random numbers of one purpose, so that purposes do not disturb each other."""
    key = [scenario.seed, zlib.crc32(purpose.encode())]
    return np.random.default_rng(np.random.SeedSequence(key))


def draw(rng: np.random.Generator, span: Span) -> float:
    """Return a number from a range, uniformly."""
    return float(span[0] + (span[1] - span[0]) * rng.random())


def draw_camera(scenario: Scenario) -> tuple[Camera, F64]:
    """Return the camera and its 4x4 ``base_T_camera``."""
    rng = stream(scenario, 'camera')
    mount = scenario.camera
    half = np.deg2rad(draw(rng, mount.horizontal_fov_deg)) / 2
    focal = float(mount.width / 2 / np.tan(half))
    camera = Camera(
        mount.width,
        mount.height,
        focal,
        focal,
        (mount.width - 1) / 2 + mount.centre_offset[0] * mount.width,
        (mount.height - 1) / 2 + mount.centre_offset[1] * mount.height,
        mount.distortion,
    )
    roll, pitch, yaw = (
        float(np.deg2rad(draw(rng, s))) for s in (mount.roll_deg, mount.pitch_deg, mount.yaw_deg)
    )
    forward, height = draw(rng, mount.forward_m), draw(rng, mount.height_m)
    # The last number of the stream, so that scenarios without it stay as they were.
    place = np.array([forward, draw(rng, mount.left_m), height])
    pose = from_euler(roll, pitch, yaw, place) @ BODY_T_OPTICAL
    return camera, np.asarray(pose, np.float64)


def lidar_pose(scenario: Scenario) -> F64:
    """Return the 4x4 ``base_T_lidar``; the vehicle's centre at 1.75 m without a LiDAR."""
    mount = scenario.lidar
    place = (0.0, 0.0, 1.75) if mount is None else (mount.forward_m, 0.0, mount.height_m)
    return np.asarray(make_transform(np.eye(3), place), np.float64)


def draw_lidar_model(scenario: Scenario, mount: LidarMount, name: str = '') -> str:
    """Return which of the named models a LiDAR is; ``name`` tells it from the first one."""
    number = stream(scenario, f'lidar {name}'.strip()).integers(len(mount.model))
    return mount.model[int(number)]


def draw_sensor(scenario: Scenario) -> Sensor:
    """Return what this scene's camera does to light."""
    rng = stream(scenario, 'sensor')
    mount = scenario.camera
    spread = draw(rng, mount.white_balance)
    warm = rng.uniform(-spread, spread)
    return Sensor(
        exposure=draw(rng, mount.exposure),
        white_balance=(1.0 + warm, 1.0, 1.0 - warm),
        contrast=draw(rng, mount.contrast),
        saturation=draw(rng, mount.saturation),
        vignetting=draw(rng, mount.vignetting),
        blur=draw(rng, mount.blur_px),
        shot_noise=draw(rng, mount.shot_noise),
        read_noise=draw(rng, mount.read_noise),
        jpeg_quality=round(draw(rng, mount.jpeg_quality)),
        supersampling=mount.supersampling,
        **_effects(scenario),
    )


def _effects(scenario: Scenario) -> dict[str, Any]:
    """Return the later fields of the sensor, from random numbers of their own."""
    rng = stream(scenario, 'camera effects')
    mount = scenario.camera
    return {
        'lens_seed': int(rng.integers(2**31)),
        'shutter': draw(rng, mount.exposure_ms) / 1000,
        'readout': draw(rng, mount.readout_ms) / 1000,
        'bloom': draw(rng, mount.bloom),
        'flare': draw(rng, mount.flare),
        'dirt': draw(rng, mount.dirt),
        'drops': draw(rng, mount.drops),
        'auto_exposure': draw(rng, mount.auto_exposure),
        'metering': draw(rng, mount.metering_s),
        'bayer': bool(rng.random() < draw(rng, mount.bayer)),
        'sharpening': draw(rng, mount.sharpening),
    }


def draw_environment(scenario: Scenario) -> Environment:
    """Return this scene's light, air and sky."""
    rng = stream(scenario, 'weather')
    weather = scenario.weather
    elevation = np.deg2rad(draw(rng, weather.sun_elevation_deg))
    azimuth = np.deg2rad(draw(rng, weather.sun_azimuth_deg))
    clouds = draw(rng, weather.cloud_cover)
    low = np.exp(-max(float(elevation), 0.0) / 0.22)
    day = float(np.clip((np.rad2deg(elevation) + 8) / 18, 0.04, 1))
    night = 1 - day
    direct = (1 - clouds) ** 0.7 * float(np.clip(np.rad2deg(elevation) / 8, 0, 1))
    sun = np.array([2.7, 2.5 - 0.75 * low, 2.2 - 1.35 * low]) * direct
    grey = np.array([0.62, 0.66, 0.72])
    zenith = np.array([0.20, 0.40, 0.85]) * (1 - clouds) + grey * clouds
    horizon = np.array([0.62 + 0.3 * low, 0.74 - 0.08 * low, 0.92 - 0.35 * low])
    horizon = horizon * (1 - 0.7 * clouds) + 1.08 * grey * 0.7 * clouds
    haze = 1 + rng.uniform(-0.08, 0.08, 3)
    zenith, horizon = zenith * day * haze, horizon * day * haze
    direction = (
        float(np.cos(elevation) * np.cos(azimuth)),
        float(np.cos(elevation) * np.sin(azimuth)),
        float(max(np.sin(elevation), 0.02)),
    )
    return Environment(
        sun_direction=_unit(direction),
        sun_color=_rgb(sun),
        sun_softness=0.006 + 0.05 * clouds,
        zenith_color=_rgb(zenith),
        horizon_color=_rgb(horizon),
        ambient=0.85 + 0.3 * clouds,
        cloud_cover=clouds,
        cloud_seed=int(rng.integers(2**31)),
        fog_density=draw(rng, weather.fog_density),
        wetness=draw(rng, weather.wetness),
        rain=draw(rng, weather.rain),
        lamps=float(np.clip(night * 1.2, 0, 1)),
        headlights=draw(stream(scenario, 'headlights'), weather.headlights),
    )


def _rgb(color: F64) -> tuple[float, float, float]:
    return float(color[0]), float(color[1]), float(color[2])


def _unit(v: tuple[float, float, float]) -> tuple[float, float, float]:
    length = float(np.sqrt(v[0] ** 2 + v[1] ** 2 + v[2] ** 2))
    return v[0] / length, v[1] / length, v[2] / length
