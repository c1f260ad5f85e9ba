"""`ros2 doctor`: is this machine, and the graph that it sees, in good health?"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ros2_pip_tools.cli.graph import add_spin_time, command_node, spin_until

if TYPE_CHECKING:
    from rclpy.node import Node

_FLAGS = {'UP': 0x1, 'LOOPBACK': 0x8, 'MULTICAST': 0x1000}
"""Of network interfaces, as in Linux's if.h."""
_EVERYWHERE = ('/parameter_events', '/rosout')
"""Topics that every node publishes and nobody needs to hear."""
_SETTINGS = (
    *('RMW_IMPLEMENTATION', 'ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE'),
    *('ROS_STATIC_PEERS', 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTDDS_BUILTIN_TRANSPORTS'),
    *('AMENT_PREFIX_PATH', 'ROS_LOG_DIR'),
)
_PACKAGES = ('rclpy', 'rmw_fastrtps_cpp', 'vision_msgs', 'tf2_msgs', 'launch', 'launch_ros')


@dataclass
class Findings:
    """What a check found."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def add_to(commands: Any) -> None:
    """Add the command."""
    for name in ('doctor', 'wtf'):
        parser = commands.add_parser(name, help='check this machine and the graph')
        parser.add_argument('-r', '--report', action='store_true', help='print what there is')
        parser.add_argument(
            '-w', '--include-warnings', action='store_true', help='warnings are failures too'
        )
        add_spin_time(parser)
        parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    with command_node() as node:
        spin_until(node, lambda: False, options.spin_time)
        if options.report:
            _report(node)
            return 0
        checks: dict[str, Callable[[], Findings]] = {
            'platform': _platform,
            'network': _network,
            'package': _package,
            'middleware': lambda: _middleware(node),
            'topic': lambda: _topic(node),
        }
        found = {name: check() for name, check in checks.items()}
    failed = []
    for name, findings in found.items():
        for text in findings.errors:
            print(f'{name}: ERROR: {text}', file=sys.stderr)
        for text in findings.warnings:
            print(f'{name}: warning: {text}', file=sys.stderr)
        if findings.errors or (options.include_warnings and findings.warnings):
            failed.append(name)
    if not failed:
        print(f'\nAll {len(found)} checks passed\n')
        return 0
    print(f'\n{len(failed)}/{len(found)} check(s) failed\n')
    print('Failed modules:', *failed)
    return 1


def _platform() -> Findings:
    findings = Findings()
    profile = os.environ.get('FASTDDS_DEFAULT_PROFILES_FILE')
    if profile and not Path(profile).is_file():
        findings.errors.append(f'FASTDDS_DEFAULT_PROFILES_FILE names {profile}: there is no such')
    shared = Path('/dev/shm')
    if not (shared.is_dir() and os.access(shared, os.W_OK)):
        findings.warnings.append('no /dev/shm to write to: large messages go by the network stack')
    return findings


def _interfaces() -> dict[str, list[str]]:
    """Return the flags of the network interfaces by name."""
    found = {}
    for file in sorted(Path('/sys/class/net').glob('*/flags')):
        value = int(file.read_text(), 16)
        found[file.parent.name] = [name for name, bit in _FLAGS.items() if value & bit]
    return found


def _network() -> Findings:
    findings = Findings()
    used = [flags for flags in _interfaces().values() if 'UP' in flags]
    if not any('LOOPBACK' in flags for flags in used):
        findings.errors.append('No loopback IP address is found.')
    if all('LOOPBACK' in flags for flags in used):
        findings.warnings.append('Only loopback IP address is found.')
    if not any('MULTICAST' in flags for flags in used):
        findings.warnings.append('No multicast IP address is found.')
    return findings


def _package() -> Findings:
    from ament_index_python.packages import get_packages_with_prefixes

    missing = [name for name in _PACKAGES if not _version(name, get_packages_with_prefixes())]
    return Findings(errors=[f'package {name} is not installed' for name in missing])


def _version(package: str, prefixes: dict[str, str]) -> str:
    """Return the version of a package, 'installed' if it tells none, or nothing."""
    for name in (f'ros-{package}', f'ros-kilted-{package}', package):
        try:
            return importlib.metadata.version(name.replace('_', '-'))
        except importlib.metadata.PackageNotFoundError:
            continue
    if package in prefixes or (Path(__file__).parents[2] / package).is_dir():
        return 'installed'
    return ''


def _topics(node: Node) -> list[str]:
    return sorted(name for name, _ in node.get_topic_names_and_types() if '/_' not in name)


def _middleware(node: Node) -> Findings:
    from rclpy.qos import QoSCompatibility, qos_check_compatible

    findings = Findings()
    for topic in _topics(node):
        for publisher in node.get_publishers_info_by_topic(topic):
            for subscription in node.get_subscriptions_info_by_topic(topic):
                result, reason = qos_check_compatible(
                    publisher.qos_profile, subscription.qos_profile
                )
                if result == QoSCompatibility.OK:
                    continue
                text = (
                    f'QoS of {publisher.node_name} and {subscription.node_name} on {topic}: '
                    f'{reason}'
                )
                wrong = result == QoSCompatibility.ERROR
                (findings.errors if wrong else findings.warnings).append(text)
    return findings


def _topic(node: Node) -> Findings:
    findings = Findings()
    for topic in _topics(node):
        given, taken = node.count_publishers(topic), node.count_subscribers(topic)
        if topic in _EVERYWHERE:
            continue
        if given and not taken:
            findings.warnings.append(f'Publisher without subscriber detected on {topic}.')
        elif taken and not given:
            findings.warnings.append(f'Subscriber without publisher detected on {topic}.')
    return findings


def _report(node: Node) -> None:
    from ament_index_python.packages import get_packages_with_prefixes

    prefixes = get_packages_with_prefixes()
    sections: dict[str, dict[str, Any]] = {
        'PLATFORM INFORMATION': {
            'system': platform.system(),
            'platform info': platform.platform(),
            'release': platform.release(),
            'processor': platform.processor() or platform.machine(),
            'python': f'{platform.python_version()} in {sys.prefix}',
        },
        'NETWORK CONFIGURATION': {name: ', '.join(flags) for name, flags in _interfaces().items()},
        'ENVIRONMENT': {name: os.environ.get(name, '(not set)') for name in _SETTINGS},
        'PACKAGE VERSIONS': {name: _version(name, prefixes) or 'none' for name in _PACKAGES},
        'TOPIC LIST': {
            topic: f'{node.count_publishers(topic)} publishers, '
            f'{node.count_subscribers(topic)} subscribers'
            for topic in _topics(node)
            if topic not in _EVERYWHERE
        },
    }
    for title, items in sections.items():
        print(f'\n   {title}')
        width = max([8, *(len(name) + 4 for name in items)])
        for name, value in items.items():
            print(f'{name:{width}}: {value}')
