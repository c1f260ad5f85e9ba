"""Mixed batches of simulated and real images: what sim-to-real adaptation trains on.

A sample has up to five parts, each a dictionary of tensors: ``virtual`` (a simulated image with
truth), ``virtual_clip`` (three simulated frames with truth and poses), ``real_clip`` (three real
frames), ``real_depth`` (a real image with the depth that its stereo partner, a scan or a teacher
network tells) and ``real_image`` (a real image without any human's label, perhaps with the
classes that teachers see). Real labels are never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from sim_perception.inference.preprocess import (
    PreprocessConfig,
    default_camera,
    focal_length,
    normalize,
)
from training.datasets.clips import Clip, Clips
from training.datasets.image_store import DepthStore
from training.datasets.kitti.stereo import stereo_depth
from training.datasets.sample import IGNORE, DatasetError, Sample
from training.datasets.scan_images import open_scans
from training.datasets.sources import SourceConfig, open_clips, open_images
from training.datasets.stereo_images import open_stereo
from training.datasets.views.appearance import (
    AppearanceConfig,
    LabelledImage,
    random_appearance,
    random_view,
)
from training.datasets.views.clip import clip_view, turned
from training.datasets.views.views import GeometryConfig
from training.tasks.depth_segmentation.data import (
    BagImages,
    DataConfig,
    LabelledData,
    LabelledImages,
)
from training.tasks.guda.class_teachers import ClassTeachers, ClassTeachersConfig
from training.tasks.guda.taught_images import open_taught

PARTS = ('virtual', 'virtual_clip', 'real_clip', 'real_depth', 'real_image')


class AdaptationDataConfig(DataConfig):
    """Simulated data with truth and real data without."""

    clips: list[str] = Field(default_factory=list)
    """Simulated bags of consecutive frames, with poses; as ``bags``."""
    real_clips: list[SourceConfig] = Field(default_factory=list)
    """Real recordings for photometric self-supervision."""
    real_stereo: list[SourceConfig] = Field(default_factory=list)
    """Real stereo pairs: where both images' matches agree, they teach depth like truth."""
    scans: list[SourceConfig] = Field(default_factory=list)
    """Real recordings of camera and LiDAR (``bag``, ``kitti_object``), whose scans teach depth,
    drawn with the pairs."""
    taught: list[SourceConfig] = Field(default_factory=list)
    """Real images whose depth a teacher tells (see ``taught_images``), drawn with the pairs."""
    teacher: str = 'models/depth_segmentation'
    """Checkpoint folder of the teacher of ``taught``."""
    depth_store: str | None = None
    """Folder that keeps depth of stereo pairs and of the teacher from run to run."""
    real_images: list[SourceConfig] = Field(default_factory=list)
    """Real images for pseudo-labels."""
    class_teachers: ClassTeachersConfig = ClassTeachersConfig()
    """Networks that label these once and for all; without, the task's own teacher labels every
    view."""
    turn: float = Field(default=0.0, ge=0, le=15)
    """Greatest turn between neighbouring frames that is added to simulated clips, degrees."""
    depth_hints: bool = True
    """Match the stereo pairs of real clips for proposals of depth (see ``loss.hint``)."""
    real_geometry: GeometryConfig | None = None
    """Views of real images; as ``geometry`` if left out. The size must be the same."""
    real_clip_geometry: GeometryConfig | None = None
    """Views of real clips and stereo pairs, of any size; as ``real_geometry`` if left out."""
    real_appearance: AppearanceConfig = AppearanceConfig(
        filter=0.0, fog=0.0, shadow=0.0, cutout=0.1, noise=0.2, blur=0.2, jpeg=0.2, strength=0.7
    )
    """Changes of the network's real inputs; photometric losses see the images as they are."""


class WeightedChoice:
    """Draws an item of several data sets: the data set by weight, the item uniformly."""

    def __init__(self, lengths: Sequence[int], weights: Sequence[float]) -> None:
        self._lengths = list(lengths)
        shares = np.asarray(weights, float) * (np.asarray(lengths) > 0)
        if not shares.sum() > 0:
            raise DatasetError('no data source has samples and a positive weight')
        self._shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Return (data set, index)."""
        number = int(rng.choice(len(self._shares), p=self._shares))
        return number, int(rng.integers(self._lengths[number]))


class StereoHints:
    """Depth of clips with a right image by semi-global matching, kept for the next time."""

    def __init__(self, capacity: int = 128) -> None:
        self._kept: dict[str, npt.NDArray[np.float32]] = {}
        self._capacity = capacity

    def of(self, clip: Clip) -> npt.NDArray[np.float32] | None:
        """Return the target's (H, W) depth in metres, NaN where unsure; None without a pair."""
        target = clip.frames[clip.target]
        if clip.right is None or clip.right_T_target is None or target.camera is None:
            return None
        if clip.name not in self._kept:
            if len(self._kept) >= self._capacity:
                self._kept.pop(next(iter(self._kept)))
            left, right = (
                np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
                for image in (target.image, clip.right.image)
            )
            baseline = -float(clip.right_T_target[0, 3])
            self._kept[clip.name] = stereo_depth(left, right, target.camera.fx, baseline)
        return self._kept[clip.name]


class MixedData:
    """Training samples with a part from every configured kind of data.

    Raises:
        DatasetError: if nothing is configured, or a source is absent or unusable.
    """

    def __init__(self, config: AdaptationDataConfig, preprocess: PreprocessConfig) -> None:
        self.config, self.preprocess = config, preprocess
        self.real_geometry = config.real_geometry or config.geometry
        size = (config.geometry.width, config.geometry.height)
        if (self.real_geometry.width, self.real_geometry.height) != size:
            raise DatasetError(f'data.real_geometry must have the size of data.geometry, {size}')
        self.real_clip_geometry = config.real_clip_geometry or self.real_geometry
        self._hints = StereoHints()
        learnt = [n for n, source in enumerate(config.real_clips) if source.learn_focal]
        self._focal_index = {number: index for index, number in enumerate(learnt)}
        self._virtual = (
            LabelledData(BagImages(config.bags, config.stride), config, preprocess)
            if config.bags
            else None
        )
        self._clips: dict[str, tuple[list[Clips], WeightedChoice]] = {}
        virtual = [SourceConfig(spec=f'bag:{pattern}') for pattern in config.clips]
        for part, sources in (('virtual_clip', virtual), ('real_clip', config.real_clips)):
            if sources:
                opened = [open_clips(source) for source in sources]
                weights = [source.weight for source in sources]
                self._clips[part] = opened, WeightedChoice([len(c) for c in opened], weights)
        self._depth = self._open_real_depth()
        if self._depth:
            kinds = (config.real_stereo, config.scans, config.taught)
            weights = [source.weight for sources in kinds for source in sources]
            self._choose_depth = WeightedChoice([len(d) for d in self._depth], weights)
        self._images: list[Any] = [open_images(source) for source in config.real_images]
        teachers = config.class_teachers
        self._teachers = ClassTeachers(teachers) if teachers.folders else None
        self._choose_image = (
            WeightedChoice([len(i) for i in self._images], [s.weight for s in config.real_images])
            if self._images
            else None
        )
        if self._virtual is not None:
            self._length = len(self._virtual)
        elif self._clips or self._depth or self._images:
            clips = (len(c) for opened, _ in self._clips.values() for c in opened)
            self._length = sum(clips) + sum(len(i) for i in (*self._depth, *self._images))
        else:
            raise DatasetError(
                'no training data: name data.bags, data.clips, data.real_clips, '
                'data.real_stereo, data.scans, data.taught or data.real_images'
            )

    def _open_real_depth(self) -> list[LabelledData]:
        """Open the real images with depth, those of ``real_stereo`` first."""
        config = self.config
        store = DepthStore(config.depth_store)
        sources: list[LabelledImages] = [open_stereo(s, store) for s in config.real_stereo]
        sources += [open_scans(s) for s in config.scans]
        sources += [open_taught(s, config.teacher, store) for s in config.taught]
        changes = {'geometry': self.real_clip_geometry, 'appearance': config.real_appearance}
        as_real = config.model_copy(update=changes)
        return [LabelledData(source, as_real, self.preprocess) for source in sources]

    def __len__(self) -> int:
        """Return the number of simulated images, or of real ones if there are no simulated."""
        return self._length

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return the parts; the index chooses the simulated image, ``rng`` all else."""
        parts: dict[str, Any] = {}
        if self._virtual is not None:
            parts['virtual'] = self._virtual.sample(index, rng)
        for part, (opened, choose) in self._clips.items():
            number, place = choose.draw(rng)
            parts[part] = self._clip(opened[number], place, part == 'virtual_clip', rng)
            if part == 'real_clip':
                index = self._focal_index.get(number, -1)
                parts[part]['focal_index'] = torch.tensor(index)
        if self._depth:
            number, place = self._choose_depth.draw(rng)
            parts['real_depth'] = self._depth[number].sample(place, rng)
        if self._choose_image is not None:
            number, place = self._choose_image.draw(rng)
            parts['real_image'] = self._image(self._images[number][place], rng)
        return parts

    def _clip(
        self, clips: Clips, place: int, virtual: bool, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Return a clip's tensors; ``view_synthesis.ClipViews`` describes them.

        Besides: ``image`` (3, H, W), the target as the network sees it, ``focal``, ``one_pass``
        (whether the ego-motion head matches it once only), and for
        simulated clips ``depth`` and ``semantic``, for real ones perhaps ``hint`` (H, W).

        Raises:
            DatasetError: if the camera is unknown, or a simulated clip has no truth.
        """
        clip = clips[place]
        geometry = self.config.geometry if virtual else self.real_clip_geometry
        view = clip_view(clip, geometry, rng)
        if virtual and self.config.turn:
            view = turned(view, np.radians(self.config.turn), rng)
        target, sources = view.target, list(view.sources)
        matrix = view.intrinsics[target]
        if not np.isfinite(matrix).all():
            raise DatasetError(f'{clip.name}: the camera is unknown; give its focal_ratio')
        image = view.images[target]
        tensors: dict[str, Any] = {
            'frames': torch.from_numpy(view.images[[target, *sources]]),
            'K': torch.from_numpy(matrix.astype(np.float32)),
            'focal': torch.tensor(np.sqrt(matrix[0, 0] * matrix[1, 1]), dtype=torch.float32),
            'source_T_target': torch.from_numpy(view.frame_T_target[sources].astype(np.float32)),
            'distance': torch.from_numpy(view.distance[sources].astype(np.float32)),
            'right': torch.from_numpy(np.zeros_like(image) if view.right is None else view.right),
            'right_T_target': torch.full((4, 4), torch.nan),
            'one_pass': torch.tensor(bool(rng.integers(2))),
        }
        if view.right_T_target is not None:
            tensors['right_T_target'] = torch.from_numpy(view.right_T_target.astype(np.float32))
        if self.config.depth_hints and not virtual:
            hint = self._hints.of(clip)
            unknown = np.full(image.shape[:2], np.nan, np.float32)
            tensors['hint'] = torch.from_numpy(
                unknown if hint is None else view.view.nearest(hint)
            )
        depth = np.full(image.shape[:2], np.nan, np.float32)
        appearance = self.config.real_appearance
        if virtual:
            if view.depth is None or view.semantic is None:
                raise DatasetError(f'{clip.name} has no true depth or classes')
            depth, appearance = view.depth[target], self.config.appearance
            tensors['depth'] = torch.from_numpy(depth)
            tensors['semantic'] = torch.from_numpy(view.semantic[target])
        changed = random_appearance(image, depth, appearance, rng)
        tensors['image'] = normalize(changed[None], self.preprocess)[0]
        return tensors

    def _image(self, sample: Sample, rng: np.random.Generator) -> dict[str, Any]:
        """Return ``image`` and ``clean`` (3, H, W), with and without changed appearance, and
        ``focal`` of a random view of a real image; with teachers ``semantic``, what they see."""
        height, width = sample.image.shape[:2]
        unknown = np.full((height, width), np.nan, np.float32)
        camera = sample.camera or default_camera(width, height, self.preprocess)
        labels = np.full((height, width), IGNORE, np.uint8)
        if self._teachers is not None:
            labels = self._teachers.labels(sample, camera)
        whole = LabelledImage(sample.image, unknown, labels, camera)
        view = random_view(whole, self.real_geometry, rng)
        changed = random_appearance(view.image, view.depth, self.config.real_appearance, rng)
        both = normalize(np.stack([changed, view.image]), self.preprocess)
        focal = torch.tensor(focal_length(view.camera), dtype=torch.float32)
        tensors = {'image': both[0], 'clean': both[1], 'focal': focal}
        if self._teachers is not None:
            tensors['semantic'] = torch.from_numpy(view.semantic)
        return tensors
