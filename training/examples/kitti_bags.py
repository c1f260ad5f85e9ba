"""``python -m training.examples.kitti_bags``: frames of KITTI object detection as recordings.

What works on a robot's recordings then works on KITTI's scans, such as labelling them and
training the 3D detector on those labels, or looking at them in rviz:

    python -m training.examples.kitti_bags kitti/training --frames 0-99 --out data/kitti
    for bag in data/kitti/*; do
        python -m training label $bag --out data/kitti_labels/$(basename $bag) --preset kitti
    done
    python -m training train detector3d --config detector3d_real

Frames of one calibration make one recording, a frame every ten seconds. No label is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sim_perception.bags import messages as m
from sim_perception.bags import topics as t_
from sim_perception.bags.typestore import serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.files import read_text
from sim_perception.geometry.transforms import invert
from training.commands.script import run_script
from training.datasets.kitti.object import read_image, read_lidar_pose, read_scan
from training.datasets.kitti.tracking import read_camera
from training.datasets.sample import DatasetError, parse_numbers

#: Nanoseconds between frames, which are of different streets: nothing can be tracked.
PERIOD = 10 * 10**9


def write_bag(folder: Path, names: list[str], out: Path) -> None:
    """Write frames of one calibration as a recording with ``base_link`` level, at the camera.

    Raises:
        DatasetError: if a file is absent or malformed.
        FileExistsError: if the recording exists.
    """
    calibration = folder / 'calib' / f'{names[0]}.txt'
    with BagWriter(out) as bag:

        def write(topic: t_.Topic, stamp: int, message: Any) -> None:
            bag.write(m.StampedMessage(topic.name, stamp, serialize(message)))

        height, width = read_image(folder / 'image_2', names[0]).shape[:2]
        camera, camera_T_base = read_camera(calibration, width, height)
        mounts = {
            t_.LIDAR_FRAME: read_lidar_pose(calibration),
            t_.CAMERA_FRAME: invert(camera_T_base),
        }
        start = m.START_STAMP
        write(t_.TF_STATIC, start, m.tf_message(
            m.transform_message(pose, start, t_.BASE_FRAME, name) for name, pose in mounts.items()
        ))  # fmt: skip
        for number, name in enumerate(names):
            stamp = start + number * PERIOD
            image = read_image(folder / 'image_2', name)
            packed = m.compressed_image_message(image, stamp, t_.CAMERA_FRAME)
            write(t_.CAMERA_INFO, stamp, m.camera_info_message(camera, stamp, t_.CAMERA_FRAME))
            write(t_.IMAGE_COMPRESSED, stamp, packed)
            points = read_scan(folder / 'velodyne' / f'{name}.bin')
            write(t_.POINTS, stamp, m.xyz_cloud_message(points, stamp, t_.LIDAR_FRAME))


def by_calibration(folder: Path, names: list[str]) -> list[list[str]]:
    """Return the frames, those of one calibration and image size together."""
    groups: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name in names:
        text = read_text(folder / 'calib' / f'{name}.txt')
        size = read_image(folder / 'image_2', name).shape
        groups.setdefault((text, size), []).append(name)
    return list(groups.values())


def main(
    folder: Annotated[Path, typer.Argument(help='With image_2, velodyne and calib.')],
    out: Annotated[Path, typer.Option(help='Folder of the recordings.')],
    frames: Annotated[str, typer.Option(help='Which, like 0-99 or 0-9,20-29; empty is all.')] = '',
) -> None:
    """Write frames of a KITTI object folder as rosbag2 recordings."""
    names = sorted(path.stem for path in (folder / 'velodyne').glob('*.bin'))
    if not names:
        raise DatasetError(f'{folder} has no scans velodyne/*.bin')
    if frames:
        wanted = parse_numbers(frames, 'frames')
        if max(wanted) >= len(names):
            raise DatasetError(f'{folder} has {len(names)} frames, no frame {max(wanted)}')
        names = [names[number] for number in wanted]
    groups = by_calibration(folder, names)
    out.mkdir(parents=True, exist_ok=True)
    for number, group in enumerate(groups):
        write_bag(folder, group, out / f'{number:02d}')
        typer.echo(f'{out / f"{number:02d}"}: {len(group)} frames')


if __name__ == '__main__':
    run_script(main)
