"""Any timm backbone as an encoder; timm is an optional extra."""

from __future__ import annotations

from torch import Tensor, nn

from sim_perception.models.encoders.base import STAGE_COUNT, Encoder

STRIDES = (2, 4, 8, 16, 32)


class TimmEncoder(Encoder):
    """A timm backbone with feature maps at strides 2, 4, 8, 16 and 32.

    Raises:
        ImportError: if timm is not installed.
        ValueError: if the backbone is unknown to timm or has other strides.
    """

    def __init__(self, name: str, pretrained: bool = False) -> None:
        super().__init__()
        try:
            import timm  # type: ignore[import-not-found]
        except ImportError as error:
            raise ImportError(
                f'encoder timm:{name} needs timm; install it with: pip install timm, '
                'or choose the encoder efficientnet_lite0'
            ) from error
        if not timm.is_model(name):
            raise ValueError(f'timm has no backbone {name!r}; see timm.list_models()')
        self.body = timm.create_model(name, pretrained=pretrained, features_only=True)
        info = self.body.feature_info
        if tuple(info.reduction()) != STRIDES:
            raise ValueError(
                f'timm backbone {name!r} has strides {info.reduction()}, need {list(STRIDES)}'
            )
        self.channels = tuple(info.channels())
        config = self.body.pretrained_cfg
        self.mean = tuple(255.0 * value for value in config['mean'])
        self.std = tuple(255.0 * value for value in config['std'])

    def forward(self, image: Tensor, count: int = STAGE_COUNT) -> list[Tensor]:
        """Return ``count`` feature maps at strides 2, 4, ... of a normalised (B, 3, H, W) image.

        timm runs the whole backbone whatever the count.
        """
        return list(self.body(image))[:count]

    def stages(self) -> list[list[nn.Module]]:
        """Return the modules that compute each of the five feature maps, in order."""
        # timm flattens some names ('stages.0' -> 'stages_0'), so compare them all flattened.
        ends = [name.replace('.', '_') for name in self.body.feature_info.module_name()]
        parts: list[list[nn.Module]] = [[] for _ in STRIDES]
        stage, entered = 0, False
        for name, module in self.body.named_modules():
            inside = f'{name.replace(".", "_")}_'.startswith(f'{ends[stage]}_')
            if entered and not inside:
                stage = min(stage + 1, len(STRIDES) - 1)
                inside = f'{name.replace(".", "_")}_'.startswith(f'{ends[stage]}_')
            entered = inside
            if next(module.parameters(recurse=False), None) is not None:
                parts[stage].append(module)
        return parts
