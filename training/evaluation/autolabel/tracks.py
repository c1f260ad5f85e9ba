"""What whole tracks bring: the same objects labelled frame by frame, and with one shape each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim_perception.autolabel.labeler import ShapeLabeler, Sighting
from sim_perception.geometry.transforms import invert, transform_points
from training.datasets.objects.label_scenes import LabelScene
from training.evaluation.autolabel.compare import Compared, compare

_LEAST_SIGHTINGS = 3
_TURNED = np.deg2rad(30.0)


@dataclass(frozen=True)
class _Seen:
    """One sighting with its frame and its comparison with the truth."""

    scene: LabelScene
    row: Compared
    sighting: Sighting


def is_turned(seen: Sequence[_Seen]) -> bool:
    """Return whether an object was seen from directions that differ by ``_TURNED`` or more."""
    directions = []
    for one in seen:
        box = one.row.truth.box3d
        sensor = transform_points(invert(box.parent_T_box), one.scene.frame.sensor[None])[0]
        directions.append(np.arctan2(abs(sensor[1]), sensor[0]))
    return bool(np.ptp(directions) >= _TURNED)


class TrackCollector:
    """Gathers the labels of sequences, and compares them alone and as whole tracks.

    Args:
        labeler: that made the labels.
    """

    def __init__(self, labeler: ShapeLabeler) -> None:
        self._labeler = labeler
        self._tracks: dict[tuple[str, str], list[_Seen]] = defaultdict(list)

    def add(self, scene: LabelScene, rows: Sequence[Compared]) -> None:
        """Take the labels of a frame, where it is known who is who and where.

        Those outside of the population count, too: a track is seen from far away first.
        """
        chosen = [row for row in rows if row.truth.id and row.label.box3d]
        if scene.world_T_level is None or not chosen:
            return
        evidence = self._labeler.evidence(scene.frame, [row.label for row in chosen])
        for row, measured in zip(chosen, evidence, strict=True):
            if measured is None:
                continue
            frame = scene.frame
            sighting = Sighting(
                row.label,
                measured,
                frame.camera,
                frame.camera_T_level,
                scene.world_T_level,
                scene.time,
            )
            self._tracks[scene.sequence, row.truth.id].append(_Seen(scene, row, sighting))

    def scores(self) -> dict[str, float]:
        """Return the figures of objects with three sightings or more, one of them in the
        population; empty without any.

        ``track_length_error_single`` and ``_whole`` are mean relative errors of the length over
        all sightings, ``track_size_error_*`` of length, width and height, ``track_median_iou_*``
        medians and ``track_mean_iou_*`` means of the 3D IoU; ``length_error_ratio`` is whole over
        single, ``tracks`` and ``track_sightings`` the counts. The same for parts: ``*_accepted``
        of sightings whose labels were accepted alone, ``*_turned`` of objects that were seen from
        directions ``_TURNED`` apart or more, so that both ends or an end and a side show.
        """
        single, whole = self.compared()
        if not single:
            return {}
        figures = {'tracks': float(len(self._long())), 'track_sightings': float(len(single))}
        lengths = np.abs([[row.size[0] for row in rows] for rows in (single, whole)])
        for k, (name, rows) in enumerate((('single', single), ('whole', whole))):
            overlap = [row.iou_3d for row in rows]
            figures[f'track_length_error_{name}'] = float(lengths[k].mean())
            figures[f'track_size_error_{name}'] = float(np.abs([row.size for row in rows]).mean())
            figures[f'track_median_iou_{name}'] = float(np.median(overlap))
            figures[f'track_mean_iou_{name}'] = float(np.mean(overlap))
        figures['length_error_ratio'] = float(lengths[1].mean() / lengths[0].mean())
        accepted = np.array([row.label.accepted for row in single])
        turned = np.concatenate([np.full(len(seen), is_turned(seen)) for seen in self._long()])
        for name, part in (('accepted', accepted), ('turned', turned)):
            figures[f'track_sightings_{name}'] = float(part.sum())
            if part.any():
                error = lengths[:, part].mean(1)
                figures[f'track_length_error_single_{name}'] = float(error[0])
                figures[f'track_length_error_whole_{name}'] = float(error[1])
                figures[f'length_error_ratio_{name}'] = float(error[1] / error[0])
        return figures

    def compared(self) -> tuple[list[Compared], list[Compared]]:
        """Return the same sightings alone and as parts of whole tracks."""
        single, whole = [], []
        for seen in self._long():
            labels = self._labeler.label_track([one.sighting for one in seen])
            single += [one.row for one in seen]
            whole += [
                compare(one.scene, label, one.row.truth)
                for one, label in zip(seen, labels, strict=True)
            ]
        return single, whole

    def _long(self) -> list[list[_Seen]]:
        tracks = [sorted(seen, key=lambda one: one.scene.time) for seen in self._tracks.values()]
        return [
            seen
            for seen in tracks
            if len(seen) >= _LEAST_SIGHTINGS and any(one.row.counts for one in seen)
        ]
