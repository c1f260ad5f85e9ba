"""What every encoder offers its decoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from typing_extensions import Self

STAGE_COUNT = 5


class Encoder(nn.Module):
    """Maps a normalised (B, 3, H, W) image to feature maps at strides 2, 4, 8, 16 and 32.

    H and W are multiples of 32.

    Attributes:
        channels: widths of the five feature maps.
        mean, std: normalisation of RGB values in 0..255 that the weights expect.
    """

    channels: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def forward(self, image: Tensor, count: int = STAGE_COUNT) -> list[Tensor]:
        """Return the first ``count`` of the five feature maps, finest first."""
        raise NotImplementedError

    def stages(self) -> list[list[nn.Module]]:
        """Return the modules that compute each of the five feature maps, in order."""
        raise NotImplementedError

    def keep(self, count: int) -> None:
        """Forget the stages after the first ``count``: they take no memory and cannot be run."""
        unused = {id(module) for modules in self.stages()[count:] for module in modules}
        for parent in list(self.modules()):
            for name, child in list(parent.named_children()):
                if id(child) in unused:
                    setattr(parent, name, nn.Identity())

    def fold_norms(self) -> None:
        """Fold norms into convolutions where that is faster; only for inference, not undoable."""

    def freeze(self, count: int) -> None:
        """Stop training the first ``count`` stages; autograd then skips them altogether."""
        for modules in self.stages()[:count]:
            for module in modules:
                module.requires_grad_(False)

    def hold_norms(self) -> None:
        """Put BatchNorm in evaluation mode: small, mixed batches spoil its statistics."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


class EncoderNet(nn.Module):
    """A network whose encoder's BatchNorm may be held while the rest is trained.

    Attributes:
        encoder: the encoder.
        config: its ``freeze_encoder_norm`` says whether to hold.
    """

    encoder: Encoder
    config: Any

    def train(self, mode: bool = True) -> Self:
        """Switch modes; the encoder's BatchNorm stays in evaluation mode if so configured."""
        super().train(mode)
        if self.config.freeze_encoder_norm:
            self.encoder.hold_norms()
        return self
