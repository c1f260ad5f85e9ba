"""What can be set about the tracker, with its defaults: one place for all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.taxonomy import Taxonomy, load_taxonomy


@dataclass(frozen=True)
class ClassMotion:
    """How objects of one class move and how well they are measured.

    Lengths are metres for 3D boxes. For image boxes they are heights of the box, so that one
    set of values serves near and far objects.

    Attributes:
        group: classes with the same group can be mistaken for each other by the detector;
            empty for a class that is never mistaken.
        position_noise: standard deviation of a measured centre, across the line of sight.
        range_noise: what it grows by along the line of sight, per metre of distance.
        yaw_noise: standard deviation of a measured heading, radians.
        acceleration: root of the spectral density of the acceleration along the heading,
            m/s^1.5: how fast the speed becomes unknown.
        sideways: the same across the heading.
        start_speed: standard deviation of a new object's speed along each axis, m/s.
        slip: standard deviation of the speed across the heading, m/s; 0 if the class moves
            in any direction.
        rest_speed: objects that seem slower may be at rest, m/s; 0 if none are.
        turns: whether a lost object goes on turning as it did.
        size_memory: detections over which a track's size is averaged; boxes in the image grow
            and shrink, so that theirs is short.
        life: seconds that a track outlives its last detection.
        least_score: a track with a smaller mean score is not reported, whatever
            ``TrackerConfig.report_score`` is: for classes that are often seen where none are.
    """

    group: str = ''
    position_noise: float = 0.1
    range_noise: float = 0.01
    yaw_noise: float = 0.1
    acceleration: float = 1.5
    sideways: float = 0.7
    start_speed: float = 8.0
    slip: float = 0.0
    rest_speed: float = 0.5
    turns: bool = False
    size_memory: float = 10.0
    life: float = 3.0
    least_score: float = 0.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name != 'group' and not (np.isfinite(value) and value >= 0):
                raise ValueError(f'{f.name} must be finite and at least 0, got {value}')
        for name in ('position_noise', 'yaw_noise', 'start_speed', 'life'):
            if not getattr(self, name) > 0:
                raise ValueError(f'{name} must be greater than 0')
        if self.least_score > 1:
            raise ValueError(f'least_score must lie in [0, 1], got {self.least_score}')
        if self.size_memory < 1:
            raise ValueError(f'size_memory must be at least 1, got {self.size_memory}')


VEHICLE = ClassMotion(group='vehicle', slip=0.5, yaw_noise=0.08, turns=True)
PEDESTRIAN = ClassMotion(
    group='person', yaw_noise=0.4, acceleration=0.4, sideways=0.4, start_speed=1.5, rest_speed=0.2
)
CYCLIST = ClassMotion(
    group='person', yaw_noise=0.15, acceleration=1.0, start_speed=4.0, slip=0.5, rest_speed=0.3
)
IMAGE_OBJECT = ClassMotion(
    position_noise=0.05,
    range_noise=0.0,
    acceleration=1.0,
    sideways=1.0,
    start_speed=1.0,
    rest_speed=0.0,
    size_memory=1.5,
    life=1.0,
)
"""Any class in the image plane: lengths are box heights."""


def street_classes(taxonomy: Taxonomy | None = None) -> dict[int, ClassMotion]:
    """Return the motion of the countable classes of a taxonomy, by class id."""
    taxonomy = taxonomy or load_taxonomy()
    known = {'pedestrian': PEDESTRIAN, 'cyclist': CYCLIST}
    return {i: known.get(taxonomy.names[i], VEHICLE) for i in taxonomy.thing_ids}


@dataclass(frozen=True)
class TrackerConfig:
    """Everything that can be set about a tracker. Durations are seconds, scores in [0, 1].

    Attributes:
        classes: motion by class id; detections of other classes are dropped and counted.
        min_score: detections below it are dropped.
        high_score: detections from here on are matched first, to all tracks; the others only
            to tracks that are left and were seen within ``low_score_reach``.
        spawn_score: an unmatched detection from here on starts a track.
        report_score: a confirmed track is reported while its mean score, weighed towards the
            present, is at least this.
        hidden_score: a confirmed track that is hidden or out of view is listed while that mean is
            at least this: what was seen rather surely is better expected than forgotten.
        instant_score: a tentative track is reported if its mean score is at least this.
        score_memory: time constant of that mean.
        confirm_hits: detections after which a track is confirmed; tracks below it die when
            they miss ``tentative_life``.
        gate: greatest squared Mahalanobis distance of a match.
        reach: greatest distance of a match in units of ``ClassMotion``, whatever the
            covariance, m.
        shape_weight: cost of a match whose boxes do not overlap at all.
        most_surprise: greatest cost of a match where places are taken in radians and logarithms
            of the distance from the sensor; a detection that surprises more is rather another
            object, since a hidden track's place is so unsure that it would take every stray
            detection near it. Less breaks tracks. For 3D boxes; may be negative.
        reunite_gate: squared Mahalanobis distance up to which a track that has just been confirmed
            is taken for one that was lost before it began, whose identity it then has; 0 for none.
            Several detections say better than the first one what somebody is who appears.
        low_score_reach: see ``high_score``.
        tentative_life: see ``confirm_hits``.
        empty_life: how long a track may go on whose place is seen to be empty.
        hidden_life_factor: how much longer than its class's ``life`` a track may be lost
            while it is known to be occluded.
        hidden_visibility: detections with a smaller visible fraction are recalled, not seen: they
            start no track, and correct those that nothing else matches.
        hidden_noise: how many times greater the standard deviation of their centres is.
        unseen_is_hidden: list lost tracks as occluded of whose place nothing is known, too: for
            detectors that miss little of what is in plain view.
        report_lost: how long a lost track is still reported as a visible one; hidden ones are
            always listed among the occluded.
        rival_overlap: of reported tracks of different groups that overlap by more (intersection
            over union from above), only the surest is reported: one thing is of one class.
        duplicate_overlap: an unmatched detection that overlaps a matched track's box by more
            (intersection over union from above) starts no track.
        max_detections: of more in a frame, those with the best scores are used.
        max_tracks: of more, those seen last are kept; of equals the confirmed, then the oldest.
        max_gap: after a longer silence all tracks are dropped.
        max_lag: of several sensors, how much older than another's newest frame one may be.
        source_timeout: how long a sensor's word on a track counts after its newest frame, where
            others see less of it.
        ego_motion: estimate the sensor's motion from the detections where no pose is given.
        ego_acceleration: root of the spectral density of the sensor's acceleration, m/s^1.5.
        ego_turning: the same of its yaw rate, rad/s^1.5.
        ego_max_speed: greatest speed that is looked for at the start, m/s.
    """

    classes: Mapping[int, ClassMotion] = field(default_factory=street_classes)
    min_score: float = 0.1
    high_score: float = 0.5
    spawn_score: float = 0.5
    report_score: float = 0.5
    hidden_score: float = 0.5
    instant_score: float = 0.9
    score_memory: float = 0.5
    confirm_hits: int = 3
    gate: float = 16.0
    reach: float = 15.0
    shape_weight: float = 4.0
    most_surprise: float = 0.0
    reunite_gate: float = 16.0
    low_score_reach: float = 0.5
    tentative_life: float = 0.25
    empty_life: float = 0.4
    hidden_life_factor: float = 2.0
    hidden_visibility: float = 0.2
    hidden_noise: float = 3.0
    unseen_is_hidden: bool = False
    report_lost: float = 0.0
    rival_overlap: float = 0.1
    duplicate_overlap: float = 0.3
    max_detections: int = 1024
    max_tracks: int = 2048
    max_gap: float = 10.0
    max_lag: float = 0.5
    source_timeout: float = 0.5
    ego_motion: bool = False
    ego_acceleration: float = 2.0
    ego_turning: float = 0.3
    ego_max_speed: float = 40.0

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError('classes is empty: name at least one class to track')
        for name in (
            'min_score',
            'high_score',
            'spawn_score',
            'report_score',
            'hidden_score',
            'instant_score',
        ):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f'{name} must lie in [0, 1], got {value}')
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, int | float) and not np.isfinite(value):
                raise ValueError(f'{f.name} must be finite, got {value}')
            if isinstance(value, int | float) and value < 0 and f.name != 'most_surprise':
                raise ValueError(f'{f.name} must be at least 0, got {value}')
        if self.max_detections < 1 or self.max_tracks < 1:
            raise ValueError('max_detections and max_tracks must be at least 1')


def monocular(motion: ClassMotion) -> ClassMotion:
    """Return a class's motion as measured by a network that sees one image.

    Its distances are wrong by a share of themselves, and wrong in the same way for a while, which
    must not be taken for speed; its headings are rough. Whether someone walks or stands cannot be
    told from such distances, so that nobody who may walk is drawn to rest.
    """
    walks = motion.group == PEDESTRIAN.group
    return replace(
        motion,
        position_noise=0.1 if walks else 0.3,  # the longer a thing the less sure is its centre
        range_noise=0.08,
        yaw_noise=max(0.25, motion.yaw_noise),
        rest_speed=0.0 if walks else motion.rest_speed,
        life=5.0,
    )


def network_config(taxonomy: Taxonomy | None = None, **changes: Any) -> TrackerConfig:
    """Return the settings for the detections of the permanence network.

    Args:
        taxonomy: of the network; None is the shipped one.
        **changes: fields of ``TrackerConfig`` that shall differ.
    """
    classes = {i: monocular(motion) for i, motion in street_classes(taxonomy).items()}
    settings: dict[str, Any] = {
        'unseen_is_hidden': True,
        'gate': 25.0,
        # several of ten detections of people are of something else
        'most_surprise': -4.0,
        'reunite_gate': 25.0,
        # its scores of objects that are there are often low: weak ones keep tracks and find them
        # again, but start none
        'high_score': 0.25,
        'low_score_reach': 2.0,
        'spawn_score': 0.3,
        'report_score': 0.3,
        'hidden_score': 0.1,
        'confirm_hits': 3,
        'tentative_life': 0.5,
        'hidden_life_factor': 1.0,
        **changes,
    }
    return TrackerConfig(classes=classes, **settings)


def image_config(class_ids: Iterable[int], **changes: Any) -> TrackerConfig:
    """Return the settings for image boxes of a detector of one network, which mixes up no classes.

    Args:
        class_ids: that it gives.
        **changes: fields of ``TrackerConfig`` that shall differ.
    """
    settings: dict[str, Any] = {
        'reach': 1.5,
        # in the image things of several classes do stand one before the other
        'rival_overlap': 1.0,
        'most_surprise': 1e6,
        'reunite_gate': 0.0,
        **changes,
    }
    return TrackerConfig(classes=dict.fromkeys(class_ids, IMAGE_OBJECT), **settings)


CLASS_DTYPE = np.dtype(
    [
        ('group', np.int64),
        ('position_noise', float),
        ('range_noise', float),
        ('yaw_noise', float),
        ('acceleration', float),
        ('sideways', float),
        ('start_speed', float),
        ('slip', float),
        ('rest_speed', float),
        ('turns', np.bool_),
        ('size_memory', float),
        ('life', float),
        ('least_score', float),
    ]
)


def class_table(classes: Mapping[int, ClassMotion]) -> npt.NDArray[np.void]:
    """Return one ``CLASS_DTYPE`` row per class, in the mapping's order; groups are numbers."""
    table = np.zeros(len(classes), CLASS_DTYPE)
    names: list[str] = []
    for row, (class_id, motion) in zip(table, classes.items(), strict=True):
        name = motion.group or f'class {class_id}'
        if name not in names:
            names.append(name)
        row['group'] = names.index(name)
        for f in fields(ClassMotion):
            if f.name != 'group':
                row[f.name] = getattr(motion, f.name)
    return table
