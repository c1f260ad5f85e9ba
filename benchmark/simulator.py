"""The simulator's speed: the full label set at 640x192 with a 64x1024 LiDAR, in one process.

``frames_per_s`` counts camera frames with every label while every second frame also has a LiDAR
scan; ``lidar_scans_per_s`` is the LiDAR alone. The peer is PyBullet's TinyRenderer (RGB, depth
and segmentation) on the same meshes at the same poses, in the same run. Other programs on the
machine slow both: the best of several rounds is reported, beside the median. Starts are
measured in fresh processes, the first with an empty numba cache. ``stage_*_ms`` say where a camera
frame's CPU time goes.

Examples:
  python -m benchmark simulator --skip-starts
  python -m benchmark simulator --scenario training_city --json simulator.json
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sim_perception.extras import skipped
from sim_perception.geometry.transforms import invert, to_quaternion
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Lidar, Simulation

_START = """
import time
begin = time.perf_counter()
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
simulation = Simulation(load_scenario({scenario!r}, seed=0))
simulation.camera_frame(0.0)
simulation.lidar_scan(0.0)
print(time.perf_counter() - begin)
"""


#: Stages of a camera frame by the file and name of their function; none calls another.
_STAGES = {
    'pose': 'simulation.py:state',
    'draw': 'raster.py:draw',
    'surfaces': 'surface.py:compute_surface',
    'visibility': 'visibility.py:measure_visibility',
    'flow': 'flow.py:backward_flow',
    'place_tracer': 'tracing.py:pose',
    'shadows': 'shadows.py:cast',
    'mirrors': 'reflections.py:cast',
    'contacts': 'contact.py:draw',
    'shading': 'shading.py:shade_samples',
    'sensor': 'isp.py:develop',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the benchmark's options."""
    parser.add_argument('--scenario', default='clean', help='name or file of the scenario')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--frames', type=int, default=20, help='camera frames per round')
    parser.add_argument('--memory-frames', type=int, default=1000)
    parser.add_argument('--skip-starts', action='store_true', help='do not measure start times')


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure and return the figures."""
    simulation = Simulation(
        load_scenario(arguments.scenario, seed=arguments.seed), threads=arguments.threads
    )
    if simulation.lidar_spec is None:
        raise ValueError(f'scenario {arguments.scenario!r} has no LiDAR to measure')
    period = simulation.frame_period
    last = simulation.scenario.duration_s
    times = [k * period for k in range(int(last / period))]
    figures = _describe(simulation, arguments)

    def frame(k: int) -> None:
        simulation.camera_frame(times[k % len(times)])
        if k % 2 == 0:
            simulation.lidar_scan(times[k % len(times)])

    frame(0)
    figures |= stages(simulation, times[: arguments.frames])
    figures |= _rates('frames_per_s', frame, arguments.rounds, arguments.frames)
    states = [simulation.state(t) for t in times[:10]]
    lidar = Lidar(simulation.scene, simulation.lidar_spec, arguments.threads)

    base_T_lidar = np.asarray(simulation.base_T_lidar, np.float64)

    def scan(k: int) -> None:
        lidar.scan(states[k % len(states)], base_T_lidar, k)

    figures |= _rates('lidar_scans_per_s', scan, arguments.rounds, 3 * arguments.frames)
    figures |= _memory(frame, arguments.memory_frames)
    figures |= _against_pybullet(simulation, times, figures, arguments)
    if not arguments.skip_starts:
        figures |= _starts(arguments.scenario)
    return figures


def _describe(simulation: Simulation, arguments: argparse.Namespace) -> dict[str, Any]:
    scene, spec = simulation.scene, simulation.lidar_spec
    faces = [len(mesh.faces) for mesh in scene.assets.meshes]
    return {
        'scenario': f'{arguments.scenario} seed {arguments.seed}',
        'image': f'{simulation.camera.width}x{simulation.camera.height}',
        'lidar': f'{spec.rings}x{spec.columns}' if spec else 'none',
        'objects': len(scene.objects.id),
        'instances': len(scene.instances.mesh),
        'faces': int(np.take(faces, scene.instances.mesh).sum()),
        'threads': arguments.threads,
        'cores': len(os.sched_getaffinity(0)),
    }


def _rates(name: str, job: Callable[[int], None], rounds: int, count: int) -> dict[str, float]:
    """Return the rate of a job per second: best round and median, and its CPU time."""
    rates, processor = [], []
    for index in range(rounds):
        wall, used = time.perf_counter(), time.process_time()
        for k in range(count):
            job(index * count + k)
        rates.append(count / (time.perf_counter() - wall))
        processor.append((time.process_time() - used) / count)
    return {
        name: max(rates),
        f'{name}_median': statistics.median(rates),
        f'{name}_cpu_ms_each': 1e3 * min(processor),
    }


def stages(
    simulation: Simulation,
    times: list[float],
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Return milliseconds of CPU time per camera frame with every label, by stage.

    What stages do not hold is ``stage_rest_ms``; all of it is ``stage_sum_ms``.
    """
    profile = cProfile.Profile(clock)
    begin = clock()
    profile.enable()
    for moment in times:
        simulation.camera_frame(moment)
    profile.disable()
    total = 1e3 * (clock() - begin) / len(times)
    spent = _spent(pstats.Stats(profile).stats)  # type: ignore[attr-defined]
    figures = {
        f'stage_{stage}_ms': 1e3 * spent.get(name, 0.0) / len(times)
        for stage, name in _STAGES.items()
    }
    rest = total - sum(figures.values())
    return {**figures, 'stage_rest_ms': rest, 'stage_sum_ms': total}


def _spent(rows: dict[Any, Any]) -> dict[str, float]:
    """Return seconds by file and name of a function, with what it calls, from a profile's rows.

    A function called by another one of the same file and name is part of that one's time.
    """

    def name(key: tuple[str, int, str]) -> str:
        return f'{os.path.basename(key[0])}:{key[2]}'

    spent: dict[str, float] = {}
    for key, (*_, cumulative, callers) in rows.items():
        # of a function that calls itself the profile counts the outermost call alone
        namesakes = [other for other in callers if other != key and name(other) == name(key)]
        inside = sum(callers[other][3] for other in namesakes)
        spent[name(key)] = spent.get(name(key), 0.0) + cumulative - inside
    return spent


def _resident_mb() -> float:
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20


def _memory(job: Callable[[int], None], frames: int) -> dict[str, float]:
    """Return peak memory and its growth over many frames, after a warm-up tenth."""
    warm = max(1, frames // 10)
    for k in range(warm):
        job(k)
    before = _resident_mb()
    for k in range(frames):
        job(warm + k)
    return {
        'memory_frames': frames,
        'memory_growth_mb': _resident_mb() - before,
        'peak_rss_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _against_pybullet(
    simulation: Simulation,
    times: list[float],
    figures: dict[str, Any],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Return PyBullet's rate on the same scene; both sides render without LiDAR."""
    if left_out := skipped('pybullet', 'pybullet'):
        return dict(left_out)
    peer = PyBulletScene(simulation)
    labels = frozenset({'rgb', 'depth', 'semantic', 'instance', 'normals', 'flow'})
    ours, theirs = [], []
    # In turn, so that both meet the same load from other programs.
    for index in range(max(3, arguments.rounds)):
        t = [times[(index * 5 + k) % len(times)] for k in range(5)]
        begin = time.perf_counter()
        for moment in t:
            simulation.camera_frame(moment, labels)
        middle = time.perf_counter()
        for moment in t:
            peer.render(moment)
        ours.append(5 / (middle - begin))
        theirs.append(5 / (time.perf_counter() - middle))
    peer.close()
    return {
        'camera_only_frames_per_s': max(ours),
        'pybullet_frames_per_s': max(theirs),
        'ratio_vs_pybullet': max(ours) / max(theirs),
        'ratio_vs_pybullet_median': statistics.median(ours) / statistics.median(theirs),
    }


class PyBulletScene:
    """The same meshes at the same poses in PyBullet, untextured, as its users would load them."""

    def __init__(self, simulation: Simulation) -> None:
        import pybullet

        self._api, self._simulation = pybullet, simulation
        self._client = pybullet.connect(pybullet.DIRECT)
        scene = simulation.scene
        shapes = {}
        self._bodies = []
        # A body's colour belongs to its shape, so the first instance's tint stands for all.
        for mesh, tint in zip(scene.instances.mesh, scene.instances.tint, strict=True):
            if int(mesh) not in shapes:
                asset = scene.assets.meshes[mesh]
                shapes[int(mesh)] = pybullet.createVisualShape(
                    pybullet.GEOM_MESH,
                    vertices=asset.vertices.tolist(),
                    indices=asset.faces.ravel().tolist(),
                    normals=asset.normals.tolist(),
                    rgbaColor=[*tint.tolist(), 1.0],
                    physicsClientId=self._client,
                )
            self._bodies.append(
                pybullet.createMultiBody(
                    baseVisualShapeIndex=shapes[int(mesh)], physicsClientId=self._client
                )
            )
        self._projection = self._projection_matrix()
        self._last = np.zeros((len(self._bodies), 4, 4))

    def _projection_matrix(self) -> list[float]:
        camera, near, far = self._simulation.camera, 0.1, 300.0
        matrix = np.zeros((4, 4))
        matrix[0, 0] = 2 * camera.fx / camera.width
        matrix[1, 1] = 2 * camera.fy / camera.height
        matrix[0, 2] = 1 - 2 * (camera.cx + 0.5) / camera.width
        matrix[1, 2] = 2 * (camera.cy + 0.5) / camera.height - 1
        matrix[2, 2] = -(far + near) / (far - near)
        matrix[2, 3] = -2 * far * near / (far - near)
        matrix[3, 2] = -1
        return list(matrix.T.ravel())

    def render(self, moment: float) -> None:
        """Move what has moved and render RGB, depth and segmentation."""
        simulation = self._simulation
        state = simulation.state(moment)
        changed = (state.world_T_instance != self._last).any((1, 2))
        turns = to_quaternion(state.world_T_instance)
        for k in np.flatnonzero(changed):
            self._api.resetBasePositionAndOrientation(
                self._bodies[k],
                state.world_T_instance[k, :3, 3].tolist(),
                turns[k].tolist(),
                physicsClientId=self._client,
            )
        self._last = state.world_T_instance
        view = np.diag([1.0, -1.0, -1.0, 1.0]) @ invert(
            state.world_T_base @ simulation.base_T_camera
        )
        self._api.getCameraImage(
            simulation.camera.width,
            simulation.camera.height,
            list(view.T.ravel()),
            self._projection,
            lightDirection=list(simulation.scene.environment.sun_direction),
            shadow=1,
            renderer=self._api.ER_TINY_RENDERER,
            physicsClientId=self._client,
        )

    def close(self) -> None:
        """Disconnect."""
        self._api.disconnect(physicsClientId=self._client)


def _starts(scenario: str) -> dict[str, float]:
    """Return seconds from a fresh process's import to its first frame and scan."""
    figures = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in ('first_start_s', 'later_start_s'):
            result = subprocess.run(
                [sys.executable, '-c', _START.format(scenario=scenario)],
                env={**os.environ, 'NUMBA_CACHE_DIR': cache},
                capture_output=True,
                text=True,
                check=True,
            )
            figures[name] = float(result.stdout.split()[-1])
    return figures
