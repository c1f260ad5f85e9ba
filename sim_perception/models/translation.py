"""Image-to-image translation: simulated images that look like the target domain's."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from sim_perception.models.decoders import NORM_GROUPS, upsample

#: Width and height of images must be multiples of this.
MULTIPLE = 4


@dataclass(frozen=True)
class TranslationConfig:
    """The shape of a ``TranslationNet``.

    Attributes:
        width: channels at full resolution; twice and four times as many at strides 2 and 4.
        blocks: residual blocks at stride 4.
    """

    width: int = 32
    blocks: int = 6

    def __post_init__(self) -> None:
        if self.width < NORM_GROUPS or self.width % NORM_GROUPS:
            raise ValueError(f'width must be a multiple of {NORM_GROUPS}, got {self.width}')
        if self.blocks < 1:
            raise ValueError(f'blocks must be at least 1, got {self.blocks}')


class TranslationNet(nn.Module):
    """A residual generator: two steps down, blocks, two steps up, added to its input.

    The layout of Johnson et al., "Perceptual losses for real-time style transfer" (ECCV 2016),
    as SPIGAN and CycleGAN use it. It predicts a change of the image and starts with none, so that
    layout and labels hold from the first step on, and upsamples before it convolves, which
    leaves no checkerboard.
    """

    def __init__(self, config: TranslationConfig, pretrained: bool = False) -> None:
        """Build the network; ``pretrained`` is ignored, it has no pretrained part."""
        super().__init__()
        self.config = config
        width = config.width
        self.entry = _layer(3, width, 7)
        self.down = nn.ModuleList(
            [_layer(width, 2 * width, stride=2), _layer(2 * width, 4 * width, stride=2)]
        )
        self.blocks = nn.Sequential(*(_Block(4 * width) for _ in range(config.blocks)))
        self.up = nn.ModuleList([_layer(4 * width, 2 * width), _layer(2 * width, width)])
        self.head = nn.Conv2d(width, 3, 7, padding=3, padding_mode='reflect')
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Return images of the other domain.

        Args:
            image: (B, 3, H, W) RGB, black at -1 and white at 1, H and W multiples of 4.

        Returns:
            The same in float32, within -1..1.

        Raises:
            ValueError: for another size.
        """
        height, width = image.shape[-2:]
        if height % MULTIPLE or width % MULTIPLE:
            raise ValueError(
                f'image is {width}x{height}; both must be multiples of {MULTIPLE}: crop or resize'
            )
        sizes = []
        x = self.entry(image)
        for layer in self.down:
            sizes.append(x.shape[-2:])
            x = layer(x)
        x = self.blocks(x)
        for layer in self.up:
            x = layer(upsample(x, sizes.pop()))
        return (image.float() + self.head(x).float()).clamp(-1, 1)


class _Block(nn.Module):
    """Two convolutions around which the input passes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _layer(width, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, padding_mode='reflect')

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


def _layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, bias=False, padding_mode='reflect'
        ),
        nn.GroupNorm(NORM_GROUPS, outputs),
        nn.ReLU(inplace=True),
    )
