"""Detection with object permanence, learnt from simulated clips whose hidden objects are known.

PermaTrack, Tokmakov et al., "Learning to track with object permanence" (ICCV 2021).
``permatrack_targets`` has the rules, ``permatrack_maps`` the targets, ``permatrack_data`` the
clips.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.models.checkpoint import CheckpointError, load_checkpoint
from sim_perception.models.permanence import PermanenceNet, PermanenceOutput
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from training.datasets.bags.open_bags import expand
from training.engine.config import ConfigError, Section, TrainConfig, validated
from training.engine.task import Batch, NetworkTask, build_net, preprocess_of
from training.evaluation.permanence.scores import score_bags
from training.losses import centre_focal, visibility_focal, weighted_l1
from training.tasks.permatrack.data import TrackData, TrackDataConfig
from training.tasks.permatrack.maps import COLUMNS
from training.tasks.permatrack.pictures import clip_picture
from training.tasks.permatrack.walk import (
    MemoryWalk,
    WalkConfig,
    follow,
    teach,
    walk_loss,
    walked_places,
)

#: Parts of a depth and segmentation network that the decoder can start from.
_DECODERS = ('semantic', 'depth')


class TrackLossConfig(Section):
    """Weights of the losses; 0 switches a loss off."""

    heat: float = Field(default=1.0, ge=0)
    offset: float = Field(default=1.0, ge=0)
    box: float = Field(default=0.5, ge=0)
    displacement: float = Field(default=0.2, ge=0)
    visibility: float = Field(default=1.0, ge=0)
    log_depth: float = Field(default=1.0, ge=0)
    log_size: float = Field(default=0.5, ge=0)
    heading: float = Field(default=0.5, ge=0)
    walk: float = Field(default=0.5, ge=0)
    """Used with ``data.rules.hidden: random_walk``, whose settings are ``walks``."""
    walks: WalkConfig = WalkConfig()


class PermaTrackTask(NetworkTask):
    """Centres, boxes and visibility of seen and hidden objects, from clips.

    The section ``model`` of its config holds the fields of ``PermanenceConfig`` and ``pretrained``
    (ImageNet encoder), ``init`` (an earlier checkpoint of this network), or ``start`` (folder of a
    depth and segmentation checkpoint that gives the encoder) with perhaps ``start_decoder``
    (``semantic`` or ``depth``: which of its decoders to start from), and ``pixels``, the area that
    images are scaled to at run time: people need more than depth does.
    """

    name: ClassVar[str] = 'permatrack'
    model: PermanenceNet

    def __init__(self, config: TrainConfig, taxonomy: Taxonomy | None = None) -> None:
        super().__init__()
        self.taxonomy = taxonomy or load_taxonomy()
        self.data_config = validated(TrackDataConfig, config.data, 'section data')
        self.loss_config = validated(TrackLossConfig, config.loss, 'section loss')
        settings = dict(config.model)
        pretrained = bool(settings.pop('pretrained', True))
        init, start = settings.pop('init', None), settings.pop('start', None)
        decoder = settings.pop('start_decoder', None)
        pixels = settings.pop('pixels', None)
        pretrained = pretrained and not start
        self.model = build_net('permanence', settings, config.seed, pretrained=pretrained)
        if start is not None:
            self._start_from(Path(start), decoder)
        elif decoder is not None:
            raise ConfigError('model.start_decoder needs model.start')
        if init is not None:
            self.go_on_from(Path(init), 'permanence')
        self.walk: MemoryWalk | None = None
        if self.data_config.rules.hidden == 'random_walk':
            channels = self.model.config.memory_channels
            self.walk = MemoryWalk(channels, self.loss_config.walks)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocess = preprocess_of(self.model.encoder)
        if pixels is not None:
            self.preprocess = replace(self.preprocess, pixels=int(pixels))

    def _start_from(self, folder: Path, decoder: str | None) -> None:
        """Take encoder and perhaps decoder of a depth and segmentation checkpoint."""
        if decoder not in (None, *_DECODERS):
            raise ConfigError(f'model.start_decoder must be one of {_DECODERS}, got {decoder!r}')
        try:
            other = load_checkpoint(folder, network='depth_segmentation').net.state_dict()
            taken = {k: v for k, v in other.items() if k.startswith('encoder.')}
            own = self.model.state_dict()
            for key, value in other.items() if decoder else ():
                mine = key.replace(f'{decoder}.', 'decoder.', 1)
                if key.startswith(f'{decoder}.') and mine in own:
                    taken[mine] = value
            self.model.load_state_dict(own | taken)
        except (CheckpointError, RuntimeError) as error:
            raise ConfigError(f'model.start: {error}') from error

    def training_data(self) -> TrackData:
        """Open the configured bags."""
        things = self.model.config.things
        return TrackData(self.data_config, self.preprocess, self.taxonomy, things)

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Return loss, terms and outputs of clips; see ``TrackData.sample`` for the batch."""
        output, memory = self.model.remember(batch['images'], batch['focal'], batch['dt'])
        walked: dict[str, Tensor] = {}
        if self.walk is not None:
            walked['walk'], batch = self.walk_along(memory, batch)
        terms = self.terms(output, batch) | walked
        total = sum(getattr(self.loss_config, name) * value for name, value in terms.items())
        return {'loss': total, 'terms': terms, 'outputs': output._asdict()}

    def walk_along(self, memory: Tensor, batch: Batch) -> tuple[Tensor, Batch]:
        """Return the loss of walks along (B, T, C, h, w) memories, and a batch they taught."""
        assert self.walk is not None
        size = (memory.shape[-2], memory.shape[-1])
        step = self.walk(memory.float())
        places = follow(step, batch['walks'])
        walks = self.loss_config.walks
        loss = walk_loss(step, places, batch, size, walks.seen_weight)
        with torch.no_grad():
            walked = walked_places(places, batch, size, walks.sure)
            return loss, teach(batch, walked, self.data_config.hidden_gain)

    def terms(self, output: PermanenceOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the losses by the names of their weights."""
        heat, weight = batch['heat'].flatten(0, 1), batch['heat_weight'].flatten(0, 1)
        # One centre an image at least: a batch of empty streets must not count a hundredfold.
        terms = {'heat': centre_focal(output.heat, heat, weight, least=len(heat))}
        for name, columns in COLUMNS.items():
            found = at_centres(getattr(output, name), batch['place'])
            wanted = batch['values'][..., columns]
            counts = batch['weight'] * wanted.isfinite().all(-1)
            wanted = wanted.nan_to_num()
            if name == 'visibility':
                terms[name] = visibility_focal(found[..., 0], wanted[..., 0], counts)
            elif name == 'displacement':
                terms[name] = weighted_l1(found, wanted, batch['displacement_weight'])
            else:
                terms[name] = weighted_l1(found, wanted, counts)
        return terms

    def pictures(
        self, batch: Batch, outputs: dict[str, Tensor]
    ) -> dict[str, npt.NDArray[np.uint8]]:
        """Draw frames of two clips with what is asked for and what is found."""
        return {'clips': clip_picture(batch, PermanenceOutput(**outputs), clips=2)}

    def engine(self) -> PermanenceEngine:
        """Return an inference engine with a copy of the present weights."""
        device = str(next(self.model.parameters()).device)
        net = copy.deepcopy(self.model)
        return PermanenceEngine(net, self.taxonomy, self.preprocess, device=device)

    def check_validation(self, data: dict[str, str]) -> None:
        """Find what ``validate`` scores.

        Raises:
            DatasetError, BagError: if there are no bags.
        """
        for pattern in data.values():
            expand([pattern])

    def validate(self, data: dict[str, str], limit: int) -> dict[str, float]:
        """Score the present weights on bags; keys are ``name/score``.

        Args:
            data: folders of bags or patterns by name.
            limit: greatest number of bags of each.
        """
        scores = {}
        for name, pattern in data.items():
            found = score_bags(self.engine(), [pattern], self.data_config.rules, limit)
            scores.update({f'{name}/{key}': value for key, value in found.items()})
        return scores


def at_centres(maps: Tensor, place: Tensor) -> Tensor:
    """Return (B, K, C) values of (B T, C, h, w) maps at (B, K) flat places in (T, h, w)."""
    channels = maps.shape[1]
    flat = maps.unflatten(0, (len(place), -1)).movedim(2, -1).reshape(len(place), -1, channels)
    return flat.gather(1, place[..., None].expand(-1, -1, channels))
