"""The viewer's layout: cameras and pixels on the left, the world on the right, figures below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim_perception.viewer.scene import SCORES, TIMELINE, pixels_of
from sim_perception.viewer.sdk import rerun_sdk
from sim_perception.viewer.streams import PIXELS, Kind, Stream

_BACKGROUND = (24, 26, 30)
_IN_IMAGES = ('/objects/**', '/tracks/**', '/labels/**')
"""What is drawn into the images of cameras, too."""
_LESS_THAN_TRACKS = ('- /objects/truth/**', '- /{camera}/boxes/**')
"""What is not, where there are tracks: the same objects again."""
_BEHIND, _AHEAD = (-14.0, 0.0, 9.0), (14.0, 0.0, 0.0)
"""Where the eye is and what it looks at, metres in the view's frame."""


def layout(streams: Sequence[Stream], frame: str, *, live: bool = False) -> Any:
    """Return rerun's blueprint of what streams show.

    Args:
        streams: what is going to be logged; nothing else gets a view.
        frame: with z up, which the 3D view follows.
        live: whether data come in while they are looked at.
    """
    import rerun.blueprint as rrb

    rerun_sdk()
    cameras = [stream.entity for stream in streams if stream.kind is Kind.IMAGE]
    left = _cameras(cameras, streams)
    right = [_world(frame, cameras, streams)]
    figures = _figures(streams)
    if figures:
        right.append(rrb.Tabs(*figures))
    columns = [rrb.Vertical(*left)] if left else []
    return rrb.Blueprint(
        rrb.Horizontal(
            *columns,
            rrb.Vertical(*right, row_shares=[3, 1][: len(right)]),
            column_shares=[2, 3][-len(columns) - 1 :],
        ),
        rrb.TopPanel(state='collapsed'),
        rrb.BlueprintPanel(state='collapsed'),
        rrb.SelectionPanel(state='collapsed'),
        rrb.TimePanel(
            state='collapsed', timeline=TIMELINE, play_state='following' if live else 'playing'
        ),
    )


def _cameras(cameras: Sequence[str], streams: Sequence[Stream]) -> list[Any]:
    """Return the views of images, and of what there is in the pixels of the first camera."""
    import rerun.blueprint as rrb

    entities = {stream.entity for stream in streams}
    drawn: tuple[str, ...] = ('/{camera}/boxes/**', *_IN_IMAGES)
    if any(stream.kind is Kind.TRACKS for stream in streams):
        drawn += _LESS_THAN_TRACKS
    images = [_pixels(name, name, 'image', drawn) for name in cameras]
    rows = [rrb.Tabs(*images) if len(images) > 1 else image for image in images[:1]]
    for said, true in PIXELS:
        names = [name for name in (said, true) if name in entities and cameras]
        views = [_pixels(name.replace('_', ' '), cameras[0], name) for name in names]
        rows += [rrb.Tabs(*views) if len(views) > 1 else view for view in views[:1]]
    return rows


def _pixels(title: str, camera: str, name: str, drawn: Sequence[str] = ()) -> Any:
    import rerun.blueprint as rrb

    return rrb.Spatial2DView(
        origin=f'/{camera}/{name}',
        contents=[f'/{camera}/{name}', *(one.format(camera=camera) for one in drawn)],
        name=title,
        background=_BACKGROUND,
        spatial_information=rrb.SpatialInformation(target_frame=pixels_of(camera)),
    )


def _world(frame: str, cameras: Sequence[str], streams: Sequence[Stream]) -> Any:
    """Return the 3D view; depth is shown in it where no LiDAR shows the world."""
    import rerun.blueprint as rrb

    flat = ['boxes/**', *(name for pair in PIXELS for name in pair)]
    if not any(stream.kind is Kind.CLOUD for stream in streams):
        flat.remove('depth')
    return rrb.Spatial3DView(
        origin='/',
        contents=['/**', *(f'- /{camera}/{name}' for camera in cameras for name in flat)],
        name='world',
        background=_BACKGROUND,
        line_grid=rrb.LineGrid3D(spacing=5.0, color=(255, 255, 255, 24)),
        spatial_information=rrb.SpatialInformation(target_frame=frame),
        eye_controls=rrb.EyeControls3D(
            position=_BEHIND, look_target=_AHEAD, eye_up=(0.0, 0.0, 1.0)
        ),
    )


def _figures(streams: Sequence[Stream]) -> list[Any]:
    """Return the views of what is a number or words over time."""
    import rerun.blueprint as rrb

    entities = {stream.entity for stream in streams}
    views = []
    if any(stream.kind is Kind.DIAGNOSTICS for stream in streams):
        views += [
            rrb.TimeSeriesView(origin='/diagnostics/latency', name='latency, ms'),
            rrb.TimeSeriesView(origin='/diagnostics/rate', name='rates, Hz'),
            rrb.TimeSeriesView(origin='/diagnostics/count', name='counts'),
            rrb.TextLogView(origin='/log', name='messages'),
        ]
    if any(entities >= set(pair) for pair in PIXELS):
        views.append(rrb.TimeSeriesView(origin=f'/{SCORES}', name='against the truth'))
    return views
