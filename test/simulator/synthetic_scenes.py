"""Small scenes of boxes, planes and spheres with known answers for the engine's tests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, make_transform
from sim_perception.simulator.common.scene import (
    Assets,
    Environment,
    Instances,
    Material,
    Mesh,
    Objects,
    Scene,
    Sensor,
    WorldState,
)
from sim_perception.types import Camera

ROAD, BUILDING, CAR = 4, 1, 10


def _mesh(vertices, faces, normals, uv, material, semantic):
    return Mesh(
        np.asarray(vertices, np.float32),
        np.asarray(faces, np.int32),
        np.asarray(normals, np.float32),
        np.asarray(uv, np.float32),
        np.full(len(faces), material, np.int32),
        np.full(len(faces), semantic, np.uint8),
        np.ones(len(vertices), np.float32),
    )


def box_mesh(size, material=0, semantic=CAR):
    """Return a closed box around the origin."""
    vertices, faces, normals, uv = [], [], [], []
    for axis in range(3):
        for sign in (-1, 1):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            base = len(vertices)
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                corner = np.zeros(3)
                corner[axis], corner[u], corner[v] = sign, a, b
                vertices.append(corner * size / 2)
                normal = np.zeros(3)
                normal[axis] = sign
                normals.append(normal)
                uv.append(((a + 1) / 2, (b + 1) / 2))
            quad = [(0, 1, 2), (0, 2, 3)] if sign > 0 else [(0, 2, 1), (0, 3, 2)]
            faces += [[base + i for i in face] for face in quad]
    return _mesh(vertices, faces, normals, uv, material, semantic)


def plane_mesh(half=200.0, cells=4, material=1, semantic=ROAD):
    """Return a horizontal plane at z = 0, facing up, one texture repeat per 4 m."""
    line = np.linspace(-half, half, cells + 1)
    x, y = np.meshgrid(line, line)
    vertices = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    faces = []
    for j in range(cells):
        for i in range(cells):
            a = j * (cells + 1) + i
            faces += [(a, a + 1, a + cells + 2), (a, a + cells + 2, a + cells + 1)]
    normals = np.tile([0.0, 0.0, 1.0], (len(vertices), 1))
    return _mesh(vertices, faces, normals, vertices[:, :2] / 4, material, semantic)


def sphere_mesh(radius, rings=24, segments=48, material=0, semantic=CAR):
    """Return a sphere with exact normals at its vertices."""
    theta = np.linspace(0, np.pi, rings + 1)
    phi = np.linspace(0, 2 * np.pi, segments + 1)
    t, p = np.meshgrid(theta, phi, indexing='ij')
    normals = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], -1)
    normals = normals.reshape(-1, 3)
    faces = []
    for i in range(rings):
        for j in range(segments):
            a, b = i * (segments + 1) + j, (i + 1) * (segments + 1) + j
            faces += [(a, b, b + 1), (a, b + 1, a + 1)]
    uv = np.stack([p / (2 * np.pi), t / np.pi], -1).reshape(-1, 2)
    return _mesh(normals * radius, faces, normals, uv, material, semantic)


@dataclass
class Builder:
    """Collects placed meshes; every placed object is one instance unless told otherwise."""

    environment: Environment = field(
        default_factory=lambda: Environment(cloud_cover=0.0, fog_density=0.0)
    )
    sensor: Sensor = field(default_factory=Sensor)
    meshes: list = field(default_factory=list)
    poses: list = field(default_factory=list)
    owners: list = field(default_factory=list)
    sizes: list = field(default_factory=list)
    velocities: list = field(default_factory=list)
    spins: list = field(default_factory=list)
    materials: list = field(
        default_factory=lambda: [
            Material('paint', color=(0.6, 0.2, 0.2), specular=0.5, reflectivity=0.3),
            Material('ground', texture=0, color=(0.8, 0.8, 0.8), wettable=True),
        ]
    )

    def place(self, mesh, position, yaw=0.0, owner=-1):
        """Place a mesh as part of the background or of an object's row."""
        self.meshes.append(mesh)
        self.poses.append(from_euler(0, 0, yaw, np.asarray(position, float)))
        self.owners.append(owner)
        return len(self.poses) - 1

    def add_object(self, mesh, position, yaw=0.0, size=(1, 1, 1), velocity=(0, 0, 0), spin=0.0):
        """Place a mesh as an object of its own; return its row."""
        row = len(self.sizes)
        self.sizes.append(size)
        self.velocities.append(velocity)
        self.spins.append((0, 0, spin))
        self.place(mesh, position, yaw, row)
        return row

    def scene(self):
        """Return the scene."""
        count = len(self.sizes)
        texture = np.random.default_rng(1).integers(90, 160, (1, 64, 64, 1), np.uint8)
        return Scene(
            Assets(tuple(self.meshes), tuple(self.materials), texture.repeat(3, -1)),
            Instances(
                np.arange(len(self.meshes), dtype=np.int32),
                np.array(self.owners, np.int32),
                np.full((len(self.meshes), 3), 0.5, np.float32),
            ),
            Objects(
                np.arange(1, count + 1, dtype=np.uint16),
                np.full(count, CAR, np.uint8),
                np.array(self.sizes, np.float32).reshape(-1, 3),
                np.full(count, 1000.0, np.float32),
                ('box',) * count,
            ),
            self.environment,
            self.sensor,
        )

    def state(self, time=0.0, base=None, base_velocity=(0, 0, 0), base_spin=0.0):
        """Return the state at a time: objects and base move with constant velocity."""
        poses = np.array(self.poses)
        count = len(self.sizes)
        objects = np.tile(np.eye(4), (count, 1, 1))
        for instance, owner in enumerate(self.owners):
            if owner >= 0:
                turn = self.spins[owner][2] * time
                rotation = from_euler(0, 0, turn, np.zeros(3))[:3, :3]
                poses[instance, :3, :3] = rotation @ poses[instance, :3, :3]
                poses[instance, :3, 3] += np.multiply(self.velocities[owner], time)
                objects[owner] = poses[instance]
        start = np.eye(4) if base is None else base
        turn = from_euler(0, 0, base_spin * time, np.zeros(3))[:3, :3]
        pose = make_transform(
            turn @ start[:3, :3], start[:3, 3] + np.multiply(base_velocity, time)
        )
        return WorldState(
            time=time,
            world_T_instance=poses,
            world_T_object=objects,
            velocity=np.array(self.velocities, float).reshape(-1, 3),
            acceleration=np.zeros((count, 3)),
            net_force=np.zeros((count, 3)),
            angular_velocity=np.array(self.spins, float).reshape(-1, 3),
            world_T_base=pose,
            base_velocity=np.array(base_velocity, float),
            base_angular_velocity=np.array([0.0, 0.0, base_spin]),
        )


def forward_camera(width=160, height=96, focal=120.0, distortion=()):
    """Return a camera whose principal point is off the pixel grid, as real ones are."""
    cx, cy = width / 2 - 0.37, height / 2 + 0.21
    return Camera(width, height, focal, focal, cx, cy, distortion)


def mount(height=1.5, pitch=0.0, yaw=0.0):
    """Return base_T_camera of a camera that looks ahead from ``height`` metres."""
    return from_euler(0, pitch, yaw, np.array([0.0, 0.0, height])) @ BODY_T_OPTICAL


def street(**changes):
    """Return a builder with ground, a wall and three boxes, one half hidden."""
    builder = Builder()
    if changes:
        builder.environment = replace(builder.environment, **changes)
    builder.place(plane_mesh(), (0, 0, 0))
    builder.place(box_mesh(np.array([1.0, 30.0, 8.0]), 1, BUILDING), (40, 0, 4))
    car = np.array([4.0, 1.8, 1.5])
    builder.add_object(box_mesh(car), (12, 2, 0.75), 0.3, car, velocity=(2, 0, 0))
    builder.add_object(box_mesh(car), (20, 1, 0.75), -0.2, car, velocity=(0, 3, 0), spin=0.5)
    builder.add_object(sphere_mesh(1.0), (10, -3, 1.0), 0.0, (2, 2, 2))
    return builder
