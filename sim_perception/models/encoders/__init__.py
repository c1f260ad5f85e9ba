"""Image encoders behind one interface, ``base.Encoder``."""

from __future__ import annotations

from sim_perception.models.encoders.base import Encoder
from sim_perception.models.encoders.efficientnet_lite import EfficientNetLite0
from sim_perception.models.encoders.timm_backbone import TimmEncoder

__all__ = ['Encoder', 'build_encoder']

TIMM_PREFIX = 'timm:'


def build_encoder(name: str, pretrained: bool = False) -> Encoder:
    """Build an encoder by name.

    Args:
        name: ``efficientnet_lite0``, or ``timm:NAME`` for any timm backbone with five strides.
        pretrained: load ImageNet weights. Training starts from them; a checkpoint brings its own.

    Raises:
        ValueError: for an unknown name.
        ImportError: if the package that holds the weights or the backbone is not installed.
    """
    if name == 'efficientnet_lite0':
        encoder = EfficientNetLite0()
        if pretrained:
            encoder.load_imagenet_weights()
        return encoder
    if name.startswith(TIMM_PREFIX):
        return TimmEncoder(name.removeprefix(TIMM_PREFIX), pretrained)
    raise ValueError(f'unknown encoder {name!r}; known: efficientnet_lite0, {TIMM_PREFIX}NAME')
