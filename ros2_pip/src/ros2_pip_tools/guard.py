"""Refuses to stand beside a real ROS distro, whose packages have the same names."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path

REMEDY = (
    'ros2_pip is only for machines without a ROS distro and would shadow its packages. '
    'With a distro, build the workspace with colcon instead; without one, use a shell in which '
    'no setup file is sourced.'
)


def _distro_in_prefix_path(prefix: str, value: str) -> str | None:
    """Return the first other ament prefix that holds rclpy or launch."""
    own = Path(prefix).resolve()
    for entry in filter(None, value.split(os.pathsep)):
        if Path(entry).resolve() == own:
            continue
        index = Path(entry) / 'share/ament_index/resource_index/packages'
        if any((index / name).exists() for name in ('rclpy', 'launch')):
            return entry
    return None


def _real_launch(site_packages: Path) -> str | None:
    """Return where a `launch` that is not ours is installed or importable."""
    for distribution in importlib.metadata.distributions(path=[str(site_packages)]):
        if (distribution.metadata['Name'] or '').replace('-', '_') in ('launch', 'launch_ros'):
            return str(site_packages)
    spec = importlib.util.find_spec('launch')
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).resolve().parent
    ours = Path(__file__).resolve().parent.parent / 'launch'
    if found in (ours, site_packages.resolve() / 'launch'):
        return None
    return str(found)


def refusal(prefix: str, environ: Mapping[str, str]) -> str | None:
    """Return why ros2_pip must not be installed or used here, or None when it may.

    Args:
        prefix: the Python prefix to install into, itself an ament prefix.
        environ: the environment variables.
    """
    if environ.get('ROS_DISTRO'):
        return f'the ROS distro "{environ["ROS_DISTRO"]}" is sourced (ROS_DISTRO). {REMEDY}'
    other = _distro_in_prefix_path(prefix, environ.get('AMENT_PREFIX_PATH', ''))
    if other:
        return f'AMENT_PREFIX_PATH has the ROS installation {other}. {REMEDY}'
    launch = _real_launch(Path(sysconfig.get_path('purelib')))
    if launch:
        return f'the real `launch` package is installed in {launch}. {REMEDY}'
    return None
