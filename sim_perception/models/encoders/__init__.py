"""Image encoders behind one interface, ``base.Encoder``: each a file here and a line below."""

from __future__ import annotations

from collections.abc import Callable

from sim_perception.models.encoders.base import Encoder
from sim_perception.models.encoders.efficientnet_lite import EfficientNetLite0, EfficientNetLite2
from sim_perception.models.encoders.timm_backbone import TimmEncoder

__all__ = ['ENCODERS', 'Encoder', 'build_encoder']

ENCODERS: dict[str, Callable[[bool], Encoder]] = {
    'efficientnet_lite0': EfficientNetLite0,
    'efficientnet_lite2': EfficientNetLite2,
}
"""Encoders by name; each is made with or without ImageNet weights."""
TIMM_PREFIX = 'timm:'


def build_encoder(name: str, pretrained: bool = False) -> Encoder:
    """Build an encoder by name.

    Args:
        name: of ``ENCODERS``, or ``timm:NAME`` for any timm backbone with five strides.
        pretrained: load ImageNet weights. Training starts from them; a checkpoint brings its own.

    Raises:
        ValueError: for an unknown name.
        ImportError: if the package that holds the weights or the backbone is not installed.
    """
    if name.startswith(TIMM_PREFIX):
        return TimmEncoder(name.removeprefix(TIMM_PREFIX), pretrained)
    if name not in ENCODERS:
        known = ', '.join([*ENCODERS, f'{TIMM_PREFIX}NAME'])
        raise ValueError(f'unknown encoder {name!r}; known: {known}')
    return ENCODERS[name](pretrained)
