"""The same scene and state give the same bytes for any thread count and in any process."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_scenes import forward_camera, mount, street

from sim_perception.simulator.common.scene import Sensor
from sim_perception.simulator.sensors.camera import Renderer
from sim_perception.simulator.sensors.lidar import Lidar
from sim_perception.simulator.sensors.lidar_spec import LidarSpec

_HERE = Path(__file__).parent


def fingerprint(threads, supersampling=2):
    """Return a digest of everything the engine makes of the test street."""
    builder = street(cloud_cover=0.5, fog_density=0.002, wetness=0.5, rain=0.4)
    builder.sensor = Sensor(
        vignetting=0.2, blur=0.4, shot_noise=0.02, read_noise=0.01, jpeg_quality=85,
        supersampling=supersampling,
    )  # fmt: skip
    scene, digest = builder.scene(), hashlib.sha256()
    for distortion in ((), (-0.2, 0.05, 0.001, -0.002, 0.0)):
        renderer = Renderer(scene, forward_camera(distortion=distortion), threads)
        for t in (0.1, 0.2):
            sample = renderer.render(builder.state(t), mount(), previous=builder.state(t - 0.1))
            for value in vars(sample).values():
                digest.update(np.ascontiguousarray(value).tobytes())
    spec = LidarSpec(rings=16, columns=130)
    state = builder.state(0.3, base_velocity=(8, 1, 0), base_spin=0.2)
    digest.update(Lidar(scene, spec, threads).scan(state, mount(), 5).points.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize('supersampling', [1, 2])
def test_thread_counts_do_not_matter(supersampling):
    prints = {fingerprint(threads, supersampling) for threads in (1, 2, 3)}
    assert len(prints) == 1


def test_processes_do_not_matter():
    code = 'from test_engine_determinism import fingerprint; print(fingerprint(2))'
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=_HERE, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == fingerprint(1)


def test_labels_do_not_depend_on_supersampling():
    labels = frozenset({'depth', 'semantic', 'instance', 'normals', 'flow'})
    samples = []
    for supersampling in (1, 2):
        builder = street()
        builder.sensor = Sensor(supersampling=supersampling)
        renderer = Renderer(builder.scene(), forward_camera(), 1)
        samples.append(
            renderer.render(
                builder.state(0.1), mount(), layers=labels, previous=builder.state(0.0)
            )
        )
    for name in (*labels, 'visibility', 'coverage', 'box_amodal', 'box_visible'):
        a, b = (getattr(sample, name) for sample in samples)
        if name == 'flow':
            # Validity looks at the nearest drawn samples, which lie closer with more of them.
            assert np.array_equal(a[..., :2], b[..., :2])
            assert (a[..., 2] != b[..., 2]).mean() < 0.01
        elif name != 'normals':
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == 'f'), name
        else:
            assert np.allclose(a, b, atol=1e-6)


def test_noise_differs_between_frames_but_not_between_runs():
    builder = street()
    builder.sensor = Sensor(shot_noise=0.05)
    renderer = Renderer(builder.scene(), forward_camera(), 1)
    rgb = frozenset({'rgb'})
    a, again, later = (
        renderer.render(builder.state(t), mount(), layers=rgb).rgb for t in (0.0, 0.0, 1e-3)
    )
    assert np.array_equal(a, again)
    assert (a != later).mean() > 0.3
