"""Training clips for the permanence network: one random view and appearance per clip."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field

from sim_perception.inference.preprocess import PreprocessConfig, focal_length, normalize
from sim_perception.models.permanence import TIME_UNIT
from sim_perception.taxonomy import Taxonomy
from training.datasets.bags.track_clips import ClipObjects, TrackClips
from training.datasets.bags.track_targets import RuleConfig, State, Targets, clip_targets
from training.datasets.sample import DatasetError
from training.datasets.views.appearance import AppearanceConfig, random_appearance
from training.datasets.views.views import GeometryConfig, View, draw_view
from training.engine.config import Section
from training.tasks.permatrack.maps import clip_maps
from training.tasks.permatrack.real_images import (
    ObservedConfig,
    RealImages,
    TeacherConfig,
    Teachers,
    drift,
    real_maps,
)


class TrackDataConfig(Section):
    """Training data and how it is varied."""

    bags: list[str] = Field(default_factory=list)
    """Bags with all objects, hidden ones too: folders, folders of bags or patterns."""
    visible_only: list[str] = Field(default_factory=list)
    """Bags whose labels know visible objects only: nothing is said there about hidden ones."""
    visible_only_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the clips that come from them, where there are both kinds."""
    real_images: list[ObservedConfig] = Field(default_factory=list)
    """Real images without labels, of which two teachers tell what is there and what is not."""
    real_share: float = Field(default=0.3, ge=0, le=1)
    """Share of the clips that are made of them: views that wander over one image..."""
    real_drift: float = Field(default=6.0, ge=0)
    """...by up to so many pixels from frame to frame."""
    teachers: TeacherConfig = TeacherConfig()
    frames: int = Field(default=8, ge=1)
    """Of a clip; 1 teaches what single images show, from recordings of any frame rate."""
    strides: tuple[int, ...] = (1, 2)
    """A clip takes every so many-th frame of its bag, by chance one of these."""
    candidates: int = Field(default=4, ge=1)
    """So many clips and views are drawn, and the one with the most hidden objects is taken: few
    objects are hidden at a time."""
    time_flip: float = Field(default=0.2, ge=0, le=1)
    """Probability that a clip runs backwards."""
    geometry: GeometryConfig = GeometryConfig(width=384, height=160, focal=(230.0, 560.0))
    appearance: AppearanceConfig = AppearanceConfig(cutout=0.0, fog=0.0)
    """Drawn once per clip. Fog needs depth, which clips do not have: there it hazes evenly."""
    rules: RuleConfig = RuleConfig()
    hidden_gain: float = Field(default=3.0, ge=0)
    """Weight of the centre of an object that has just vanished, against that of a seen one."""


class TrackData:
    """Training samples of the task ``permatrack``.

    Raises:
        DatasetError: if no bag is named, or one is absent or unusable.
    """

    def __init__(
        self,
        config: TrackDataConfig,
        preprocess: PreprocessConfig,
        taxonomy: Taxonomy,
        things: tuple[str, ...],
    ) -> None:
        self.config, self.preprocess, self.things = config, preprocess, things
        if not config.bags and not config.visible_only:
            raise DatasetError('no training data: name data.bags or data.visible_only')
        self._clips = [
            TrackClips(bags, config.frames, config.strides, taxonomy, things) if bags else None
            for bags in (config.bags, config.visible_only)
        ]
        self._real: RealImages | None = None
        if config.real_images:
            if config.rules.hidden == 'random_walk':
                raise DatasetError('data.real_images have no walks; take another rules.hidden')
            teachers = Teachers(config.teachers, taxonomy, things)
            self._real = RealImages(config.real_images, teachers)

    def __len__(self) -> int:
        """Return the number of clips whose objects are all known, or else of the others."""
        return len(self._clips[0] or self._clips[1] or ())

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return the tensors of a clip of T frames.

        ``images`` (T, 3, H, W) normalised, ``focal`` (), ``dt`` (T,) seconds since the image
        before, and the targets of ``permatrack_maps.clip_maps``.
        """
        if self._real is not None and rng.random() < self.config.real_share:
            return self._of_image(self._real, rng)
        full, partial = self._clips
        config, rules, clips = self.config, self.config.rules, full or partial
        assert clips is not None
        if partial is not None and full is not None and rng.random() < config.visible_only_share:
            clips, index = partial, int(rng.integers(len(partial)))
        # a walk needs sightings only
        if clips is partial and rules.hidden != 'random_walk':
            rules = rules.model_copy(update={'hidden': 'ignored'})
        clip, view, targets = self._draw(clips, index, rules, rng)
        table = clip.table
        # every frame by its own generator of the same seed: one appearance for the clip
        seed = int(rng.integers(2**32))
        shown = [self._appearance(view.smooth(image), seed) for image in clips.images(clip)]
        seconds = (table.stamps - table.stamps[0]) / 1e9
        return {
            'images': normalize(np.stack(shown), self.preprocess),
            'focal': torch.tensor(focal_length(view.camera(table.camera)), dtype=torch.float32),
            'dt': torch.from_numpy(np.diff(seconds, prepend=0.0).astype(np.float32)),
            **clip_maps(table, targets, view.size, len(self.things), rules, config.hidden_gain),
        }

    def _of_image(self, real: RealImages, rng: np.random.Generator) -> dict[str, Any]:
        """Return the tensors of a clip of views of one real image."""
        config = self.config
        image, camera, agreed = real.draw(rng)
        view = draw_view((camera.width, camera.height), camera.fx, config.geometry, rng)
        views = drift(view, config.frames, config.real_drift, rng)
        seed = int(rng.integers(2**32))
        shown = [self._appearance(each.smooth(image), seed) for each in views]
        dt = np.full(config.frames, TIME_UNIT * float(rng.choice(config.strides)), np.float32)
        dt[0] = 0.0
        return {
            'images': normalize(np.stack(shown), self.preprocess),
            'focal': torch.tensor(focal_length(view.camera(camera)), dtype=torch.float32),
            'dt': torch.from_numpy(dt),
            **real_maps(agreed, views, len(self.things)),
        }

    def _draw(
        self, clips: TrackClips, index: int, rules: RuleConfig, rng: np.random.Generator
    ) -> tuple[ClipObjects, View, Targets]:
        """Return the one with the most hidden objects of a few clips under random views."""
        best = None
        for number in range(self.config.candidates):
            start = int(rng.integers(len(clips))) if number else index
            clip = clips.draw(start, rng, self.config.time_flip)
            camera = clip.table.camera
            size = (camera.width, camera.height)
            view = draw_view(size, camera.fx, self.config.geometry, rng)
            targets = clip_targets(clip.table, view, rules)
            hidden = int((targets.state == State.HIDDEN).sum())
            if best is None or hidden > best[0]:
                best = hidden, clip, view, targets
        assert best is not None
        return best[1:]

    def _appearance(self, image: Any, seed: int) -> Any:
        unknown = np.full(image.shape[:2], 60.0, np.float32)
        rng = np.random.default_rng(seed)
        return random_appearance(image, unknown, self.config.appearance, rng)
