"""Network names as checkpoints and training configurations spell them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from sim_perception.files import typed
from sim_perception.models.depth_segmentation import (
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.models.detector3d import Detector3dConfig, Detector3dNet
from sim_perception.models.permanence import PermanenceConfig, PermanenceNet
from sim_perception.models.shape import ShapeConfig, ShapePca
from sim_perception.models.shape_sdf import ShapeSdf, ShapeSdfConfig
from sim_perception.models.surface_coordinates import (
    SurfaceCoordinatesConfig,
    SurfaceCoordinatesNet,
)
from sim_perception.models.translation import TranslationConfig, TranslationNet


@dataclass(frozen=True)
class ModelEntry:
    """A network class and the dataclass that configures it."""

    config: type[Any]
    net: Callable[..., nn.Module]


MODELS: dict[str, ModelEntry] = {
    'depth_segmentation': ModelEntry(DepthSegmentationConfig, DepthSegmentationNet),
    'detector3d': ModelEntry(Detector3dConfig, Detector3dNet),
    'permanence': ModelEntry(PermanenceConfig, PermanenceNet),
    'shape_pca': ModelEntry(ShapeConfig, ShapePca),
    'shape_sdf': ModelEntry(ShapeSdfConfig, ShapeSdf),
    'surface_coordinates': ModelEntry(SurfaceCoordinatesConfig, SurfaceCoordinatesNet),
    'translation': ModelEntry(TranslationConfig, TranslationNet),
}


def build_config(name: str, values: Mapping[str, Any]) -> Any:
    """Return the configuration dataclass of network ``name`` from plain values.

    Raises:
        ValueError: for an unknown network, an unknown key or a value out of range.
    """
    if name not in MODELS:
        raise ValueError(f'unknown network {name!r}; known: {", ".join(MODELS)}')
    config = MODELS[name].config
    known = {field.name for field in fields(config)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(
            f'unknown settings of network {name!r}: {", ".join(unknown)}; '
            f'known: {", ".join(sorted(known))}'
        )
    return typed(config, values, f'settings of network {name!r}')


def build_model(name: str, values: Mapping[str, Any], pretrained: bool = False) -> nn.Module:
    """Build network ``name``; see ``build_config`` for errors.

    Args:
        name: a key of ``MODELS``.
        values: fields of its configuration dataclass.
        pretrained: start the encoder from ImageNet weights.
    """
    config = build_config(name, values)
    return MODELS[name].net(config, pretrained=pretrained)


def name_of(net: nn.Module) -> str:
    """Return the registered name of a network.

    Raises:
        ValueError: if its class is not registered.
    """
    for name, entry in MODELS.items():
        if type(net) is entry.net:
            return name
    raise ValueError(f'{type(net).__name__} is not registered; known: {", ".join(MODELS)}')
