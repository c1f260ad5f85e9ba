"""What all tests share: one context of ROS a module, and what is run only where it is named."""

import signal

import pytest
from ros_harness import dummy_checkpoint, own_domain, ros

__all__ = ['dummy_checkpoint', 'own_domain', 'ros']


def pytest_configure() -> None:
    """Let Ctrl-C work in the tests and their children, also where ``&`` began them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that take minutes, unless they are asked for."""
    if 'soak' in config.getoption('-m'):
        return
    long = [item for item in items if item.get_closest_marker('soak')]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
