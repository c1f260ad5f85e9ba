"""The values between content and engine: what a scene is made of and where it is at a time.

The content side (``scenario``, ``meshes``, ``world``) builds them, the engine side
(``renderer``, ``lidar``) draws them; neither knows the other. World frame: x, y on the
ground, z up, metres. Objects are rigid parts or groups of rigid parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Material:
    """How a surface reflects.

    Attributes:
        name: for people.
        texture: index of the albedo texture in ``Assets.textures``; -1 for plain colour.
        color: linear RGB albedo, multiplied with the texture.
        specular: strength of the sun's highlight.
        reflectivity: strength of the mirrored sky at normal incidence to grazing (Fresnel).
        tinted: multiply with the instance's tint (car paint, clothes).
        translucency: share of light that passes through (leaves).
        emission: radiance when lamps are lit (head lights, windows at dusk).
        wettable: darkens and mirrors when the scene is wet (road, sidewalk).
        lidar_reflectance: diffuse reflectance at the LiDAR's wavelength, 0 to 1.
        retroreflectivity: extra return towards the sensor (signs, plates), 0 to 1.
        transmission: share of a LiDAR's light that passes where its ``glass`` lets all pass.
    """

    name: str
    texture: int = -1
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    specular: float = 0.03
    reflectivity: float = 0.0
    tinted: bool = False
    translucency: float = 0.0
    emission: float = 0.0
    wettable: bool = False
    lidar_reflectance: float = 0.3
    retroreflectivity: float = 0.0
    transmission: float = 0.0


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in its own frame (x forward, y left, z up, metres).

    Attributes:
        vertices: (V, 3) float32.
        faces: (F, 3) int32, counter-clockwise seen from outside where the surface is closed.
        normals: (V, 3) float32 unit shading normals.
        uv: (V, 2) float32 in texture repeats.
        material: (F,) int32 into ``Assets.materials``.
        semantic: (F,) uint8 class ids of the taxonomy (a street mesh holds several).
        occlusion: (V,) float32 baked ambient occlusion, 1 is open.
    """

    vertices: F32
    faces: I32
    normals: F32
    uv: F32
    material: I32
    semantic: npt.NDArray[np.uint8]
    occlusion: F32


@dataclass(frozen=True)
class Assets:
    """Everything that instances refer to.

    Attributes:
        meshes: the mesh library.
        materials: the material library.
        textures: (T, S, S, 3) uint8 sRGB, tileable, S a power of two; row 0 is v = 0.
    """

    meshes: tuple[Mesh, ...]
    materials: tuple[Material, ...]
    textures: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Instances:
    """N placed meshes; their poses change, this does not.

    Attributes:
        mesh: (N,) int32 into ``Assets.meshes``.
        object: (N,) int32 into ``Objects`` rows, -1 for background.
        tint: (N, 3) float32 linear RGB for tinted materials.
    """

    mesh: I32
    object: I32
    tint: F32


@dataclass(frozen=True)
class Objects:
    """M labelled things (vehicles and people, parked ones too); static facts.

    Attributes:
        id: (M,) uint16, unique in the scene, from 1.
        class_id: (M,) uint8 of the taxonomy.
        size: (M, 3) float32 length, width, height of the tight box, metres.
        mass: (M,) float32 kilograms.
        family: names such as 'sedan' or 'adult', for statistics and shape learning.
    """

    id: npt.NDArray[np.uint16]
    class_id: npt.NDArray[np.uint8]
    size: F32
    mass: F32
    family: tuple[str, ...]


@dataclass(frozen=True)
class TrafficLights:
    """L heads of traffic lights that switch, each three lamps in a box; static facts.

    Attributes:
        id: (L,) uint16, from 1.
        instance: (L,) int32 the instance that each head is part of.
        instance_T_head: (L, 4, 4) float64 pose of the head's middle; x points from the traffic
            that heeds it, away.
        size: (L, 3) float32 length, width, height of the head, metres.
    """

    id: npt.NDArray[np.uint16]
    instance: I32
    instance_T_head: F64
    size: F32


@dataclass(frozen=True)
class Environment:
    """Light, air and sky of a scene; colours are linear RGB radiance.

    Attributes:
        sun_direction: unit vector towards the sun.
        sun_color: radiance; zero when overcast or after sunset.
        sun_softness: angular radius of the sun for soft shadows, radians.
        zenith_color, horizon_color: the sky's gradient.
        ambient: scale of sky light on surfaces.
        cloud_cover: 0 clear to 1 overcast.
        cloud_seed: which clouds.
        fog_density: extinction per metre.
        wetness: 0 dry to 1 soaked road.
        rain: 0 none to 1 heavy: streaks on the image, LiDAR clutter.
        lamps: 0 by day to 1 by night: scales materials' emission.
        headlights: strength of the ego's own, 0 for none.
    """

    sun_direction: tuple[float, float, float] = (0.4, 0.5, 0.77)
    sun_color: tuple[float, float, float] = (2.6, 2.45, 2.15)
    sun_softness: float = 0.006
    zenith_color: tuple[float, float, float] = (0.22, 0.42, 0.85)
    horizon_color: tuple[float, float, float] = (0.62, 0.74, 0.92)
    ambient: float = 0.9
    cloud_cover: float = 0.4
    cloud_seed: int = 0
    fog_density: float = 0.0015
    wetness: float = 0.0
    rain: float = 0.0
    lamps: float = 0.0
    headlights: float = 0.0


@dataclass(frozen=True)
class Sensor:
    """What the camera does to light, after the lens projection.

    Attributes:
        exposure: linear gain before tone mapping.
        white_balance: per-channel gain.
        contrast, saturation: 1 is neutral.
        vignetting: darkening at the image's left and right edge, 0 to 1.
        blur: standard deviation of the lens blur in pixels.
        shot_noise, read_noise: standard deviations in 8-bit units / 255.
        jpeg_quality: 1 to 100, or 0 for none.
        supersampling: 1 or 2 shaded samples per pixel and axis.
        shutter: seconds that each row is exposed, for motion blur; 0 freezes all.
        readout: seconds from the first row's exposure to the last one's; 0 is a global shutter.
        bloom, flare: strength of glow around what is brighter than white, and of its ghosts.
        dirt, drops: how much of either is on the lens, 0 to 1; ``lens_seed`` says where.
        auto_exposure: how far a control loop evens out brightness, 0 to 1.
        metering: seconds that it lags.
        bayer: noise comes before demosaicing, one colour per pixel.
        sharpening: strength of unsharp masking.
    """

    exposure: float = 0.75
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    vignetting: float = 0.0
    blur: float = 0.0
    shot_noise: float = 0.0
    read_noise: float = 0.0
    jpeg_quality: int = 0
    supersampling: int = 1
    shutter: float = 0.0
    readout: float = 0.0
    bloom: float = 0.0
    flare: float = 0.0
    dirt: float = 0.0
    drops: float = 0.0
    lens_seed: int = 0
    auto_exposure: float = 0.0
    metering: float = 0.5
    bayer: bool = False
    sharpening: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A whole built scene."""

    assets: Assets
    instances: Instances
    objects: Objects
    environment: Environment
    sensor: Sensor
    lights: TrafficLights | None = None


#: Bits of ``WorldState.lamps``: brake lights on, indicating to the left, to the right.
BRAKE, LEFT, RIGHT = 1, 2, 4
#: What traffic lights show, by the number in ``WorldState.lights``.
LIGHT_NAMES = ('red', 'yellow', 'green')


@dataclass(frozen=True)
class WorldState:
    """Where everything is at one time.

    Attributes:
        time: seconds since the scenario's start.
        world_T_instance: (N, 4, 4) float64 poses of the instances.
        world_T_object: (M, 4, 4) float64 poses of the objects' box centres.
        velocity: (M, 3) float64 of the box centres in the world, m/s.
        acceleration: (M, 3) float64 in the world, m/s^2.
        net_force: (M, 3) float64 mass times acceleration, N.
        angular_velocity: (M, 3) float64 in the world, rad/s.
        world_T_base: (4, 4) float64 pose of the ego's ``base_link``.
        base_velocity: (3,) float64 of the ego in the world, m/s.
        base_angular_velocity: (3,) float64 in the world, rad/s.
        glow: (N, 3) float32 linear RGB radiance that lit lamps add to instances; None where no
            lamps switch.
        lamps: (M,) uint8 bits of BRAKE, LEFT and RIGHT per object; None likewise. Who indicates
            does so through the dark halves of the blinking, too.
        lights: (L,) uint8 what each head of ``Scene.lights`` shows, an index of
            ``LIGHT_NAMES``; None likewise.
    """

    time: float
    world_T_instance: F64
    world_T_object: F64
    velocity: F64
    acceleration: F64
    net_force: F64
    angular_velocity: F64
    world_T_base: F64
    base_velocity: F64
    base_angular_velocity: F64
    glow: F32 | None = None
    lamps: npt.NDArray[np.uint8] | None = None
    lights: npt.NDArray[np.uint8] | None = None
