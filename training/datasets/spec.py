"""SPECs: the one way in which data are named, such as ``kitti_stereo:DIR#0-27``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sim_perception.bags.sensors import ANY, Sensors, split_sensors, with_sensors
from training.datasets.images.files import split_frames
from training.datasets.sample import DatasetError

DEFAULT_SEEDS = '0-3'

Opener = TypeVar('Opener', bound=Callable[..., object])


@dataclass(frozen=True)
class Spec:
    """A SPEC in its parts, ``kind`` and ``rest``; what the rest means is up to the kind."""

    kind: str
    rest: str

    def __str__(self) -> str:
        """Return the SPEC as it was written."""
        return f'{self.kind}:{self.rest}'

    @property
    def path(self) -> str:
        """The rest without ``#FRAMES`` and a bag's sensors."""
        return split_sensors(self._whole)[0] if self.kind == 'bag' else self._whole

    @property
    def frames(self) -> str:
        """What stands behind ``#``; may be empty."""
        return split_frames(self.rest)[1]

    @property
    def sensors(self) -> Sensors:
        """Which camera and LiDAR of a bag with several: ``bag:DIR,camera=NAME,lidar=NAME``."""
        return split_sensors(self._whole)[1] if self.kind == 'bag' else ANY

    @property
    def _whole(self) -> str:
        return split_frames(self.rest)[0]

    def of(self, sensors: Sensors) -> str:
        """Return the SPEC of a bag with sensors in place of its own."""
        frames = f'#{self.frames}' if self.frames else ''
        return f'{self.kind}:{with_sensors(self.path, sensors)}{frames}'

    @property
    def scenario(self) -> str:
        """``SCENARIO`` of ``SCENARIO[:SEEDS]``."""
        return self.rest.partition(':')[0]

    @property
    def seeds(self) -> str:
        """``SEEDS`` of ``SCENARIO[:SEEDS]``."""
        return self.field(1) or DEFAULT_SEEDS

    def field(self, number: int) -> str:
        """Return one of the fields between colons, empty where it is missing."""
        fields = self.rest.split(':')
        return fields[number] if number < len(fields) else ''


class Kinds(Generic[Opener]):
    """The kinds of data that somebody takes. One line adds a kind.

    Args:
        known: by kind, how it is written (for messages), and what opens a ``Spec`` of it.
    """

    def __init__(self, known: Mapping[str, tuple[str, Opener]]) -> None:
        self._known = known

    @property
    def help(self) -> str:
        """How all kinds are written."""
        return ', '.join(written for written, _ in self._known.values())

    def __contains__(self, kind: str) -> bool:
        """Say whether there is such a kind."""
        return kind in self._known

    def find(self, text: str) -> tuple[Opener, Spec]:
        """Return what opens a SPEC, and its parts.

        Raises:
            DatasetError: for an unknown kind, or nothing behind it.
        """
        kind, _, rest = text.partition(':')
        if kind not in self._known or not rest:
            raise DatasetError(f'data SPEC {text!r} is none of: {self.help}')
        return self._known[kind][1], Spec(kind, rest)


def choose_sensors(spec: str, camera: str, lidar: str = '') -> str:
    """Return a spec with the camera and LiDAR of the options ``--camera`` and ``--lidar``.

    Raises:
        DatasetError: if it is not of a bag.
    """
    if not camera and not lidar:
        return spec
    if not spec.startswith(('bag:', 'kitti_like:bag:')):
        raise DatasetError(f'--camera and --lidar choose topics of bags, not of {spec!r}')
    before, _, rest = spec.partition('bag:')
    return f'{before}{Spec("bag", rest).of(Sensors(camera, lidar))}'
