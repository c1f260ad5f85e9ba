"""Where a link of a URDF is: the pose that a robot's description gives a camera."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from sim_perception.calibration.info import F64
from sim_perception.files import FileError, parse_xml, read_text
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.suggestions import unknown

_BASES = ('base_footprint', 'base_link')
"""Names of the frame that poses are in, the first that is there; else the root's."""


def read_link_pose(where: str | Path) -> F64:
    """Return the 4x4 pose of a link that looks along its x axis, z up.

    Of an optical link (``..._optical_frame``, ``..._optical_link``) it is the pose of the link
    that the optical one is usually made from.

    Args:
        where: ``FILE#LINK``.

    Raises:
        FileError: if the file is no URDF, has no such link, or a joint between moves.
        OSError: if it cannot be opened.
    """
    file, mark, link = str(where).partition('#')
    text = read_text(file)
    root = parse_xml(text, file)
    if root.tag != 'robot':
        raise FileError(f'{file} is no URDF: its root is <{root.tag}>, not <robot>')
    if '<xacro:' in text:
        raise FileError(f'{file} is a xacro file; run `xacro {file} > robot.urdf` and give that')
    links = [str(element.get('name')) for element in root.findall('link')]
    if not mark or not link:
        raise FileError(f'{file}: say which link, as {file}#LINK; it has {", ".join(links)}')
    if link not in links:
        raise FileError(f'{file}: {unknown("link", link, links)}')
    base_T_link = _pose(root, link, file)
    optical = link.endswith(('optical_frame', 'optical_link'))
    return base_T_link @ invert(BODY_T_OPTICAL) if optical else base_T_link


def _pose(root: Element, link: str, file: str) -> F64:
    """Return the pose of a link in the base."""
    above: dict[str, Element] = {}
    for joint in root.findall('joint'):
        child = joint.find('child')
        if child is not None:
            above[str(child.get('link'))] = joint
    pose: F64 = np.eye(4)
    passed: list[str] = []
    poses: dict[str, F64] = {link: pose}
    while link in above:
        joint = above[link]
        name = joint.get('name')
        if joint.get('type') != 'fixed':
            raise FileError(
                f'{file}: joint {name!r} above {link!r} is {joint.get("type")}, so the place is '
                'not fixed; give xyz and rpy for how it stands'
            )
        if link in passed:
            raise FileError(f'{file}: the joints above {link!r} go round in a circle')
        passed.append(link)
        parent = joint.find('parent')
        if parent is None:
            raise FileError(f'{file}: joint {name!r} has no parent')
        pose = _origin(joint, file) @ pose
        link = str(parent.get('link'))
        poses[link] = pose
    return next((poses[base] for base in _BASES if base in poses), pose)


def _origin(joint: Element, file: str) -> F64:
    origin = joint.find('origin')
    values = []
    for key in ('xyz', 'rpy'):
        text = '0 0 0' if origin is None else origin.get(key, '0 0 0')
        try:
            numbers = [float(v) for v in text.split()]
        except ValueError:
            numbers = []
        if len(numbers) != 3 or not np.isfinite(numbers).all():
            raise FileError(
                f'{file}: {key} of joint {joint.get("name")!r} must be three numbers, got {text!r}'
            )
        values.append(numbers)
    xyz, (roll, pitch, yaw) = values
    return np.asarray(from_euler(roll, pitch, yaw, np.array(xyz)), np.float64)
