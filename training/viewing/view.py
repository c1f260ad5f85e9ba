"""The verb ``view``: a recording, and labels of it, in a window, on a page or in a file."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sim_perception.bags.reader import BagReader
from sim_perception.bags.topics import BASE_FRAME
from sim_perception.geometry.frames import frame_name
from sim_perception.geometry.transforms import BODY_T_OPTICAL
from sim_perception.taxonomy import load_taxonomy
from sim_perception.viewer.layout import layout
from sim_perception.viewer.output import WEB_PORT, Output, open_file, open_viewer
from sim_perception.viewer.scene import Scene
from sim_perception.viewer.sdk import rerun_sdk
from sim_perception.viewer.streams import Kind, Stream, bag_streams
from training.viewing.labelled import LabelScene
from training.viewing.recorded import Span, count, show_bag, show_scores, span_of

_MEMORY = '50%'
"""Of the computer's, that the page may keep of a recording."""

LEVEL = 'level'
"""The frame that is made where a recording has none with z up: a camera that looks straight on."""


class ViewError(ValueError):
    """The recording cannot be shown; the message says why."""


@dataclass(frozen=True)
class View:
    """What is shown and where.

    Attributes:
        bag: the recording.
        labels: a folder of labels of it, or None.
        out: a ``.rrd`` file to write; None shows it at once.
        show: see ``open_viewer``.
        port: of the page.
        start, duration: the part of the recording, seconds; see ``span_of``.
        max_points: of a cloud that are shown.
    """

    bag: Path
    labels: Path | None = None
    out: Path | None = None
    show: str = 'auto'
    port: int = WEB_PORT
    start: float = 0.0
    duration: float | None = None
    max_points: int = 30_000


def view(wanted: View, console: Console) -> Output:
    """Show a recording, and labels of it; returns where, when all of it is there.

    Raises:
        ViewerMissingError: if rerun is not installed; before anything else is done.
        BagError, ViewError: if there is nothing to show.
        ValueError: for labels or a part of the recording that are not there.
    """
    rerun_sdk()
    labels = None if wanted.labels is None else LabelScene(wanted.labels)
    with BagReader(wanted.bag) as bag:
        streams = bag_streams(bag)
        if not streams:
            raise ViewError(f'{bag.path} has nothing that the viewer shows; see: inspect')
        span = span_of(bag, streams, wanted.start, wanted.duration)
        output = _open(wanted, bag, streams)
        try:
            scene = Scene(output.recording, load_taxonomy(), wanted.max_points)
            _place(bag, scene, streams)
            if output.url:
                console.print(f'[bold]{output.where}[/]', soft_wrap=True, highlight=False)
            _fill(labels, bag, scene, streams, span, console)
        except BaseException:
            output.close()
            raise
    output.flush()
    return output


def look(wanted: View, console: Console) -> None:
    """Show a recording as ``view`` does, say where, and keep a page until Ctrl-C.

    Raises:
        ValueError, ImportError, OSError: see ``view``.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    output = view(wanted, console)
    try:
        console.print(f'[bold]{output.where}[/]', soft_wrap=True, highlight=False)
        if output.url:
            console.print('everything is there; Ctrl-C ends the page')
            threading.Event().wait()
    except KeyboardInterrupt:
        console.print('the page has ended; the same command opens it again')
    finally:
        output.close()
        signal.signal(signal.SIGTERM, before)


def _open(wanted: View, bag: BagReader, streams: list[Stream]) -> Output:
    blueprint = layout(streams, view_frame(bag, streams))
    if wanted.out is not None:
        return open_file(wanted.out, blueprint)
    return open_viewer(blueprint, wanted.show, wanted.port, _MEMORY)


def view_frame(bag: BagReader, streams: list[Stream]) -> str:
    """Return a frame with z up: the robot's, a LiDAR's, or ``LEVEL``."""
    bases = [name for name in bag.transforms.frames if name.split('/')[-1] == BASE_FRAME]
    if bases:
        return bases[0]
    clouds = [stream.topic for stream in streams if stream.kind is Kind.CLOUD]
    return frame_of(bag, clouds[0]) if clouds else LEVEL


def _place(bag: BagReader, scene: Scene, streams: list[Stream]) -> None:
    """Put cameras into the made frame, if that is the view's."""
    if view_frame(bag, streams) != LEVEL:
        return
    for stream in streams:
        if stream.kind is Kind.IMAGE:
            scene.transform(LEVEL, frame_of(bag, stream.topic), BODY_T_OPTICAL, static=True)


def frame_of(bag: BagReader, topic: str) -> str:
    """Return the frame of a topic's first message."""
    return frame_name(str(bag.message(topic, 0).header.frame_id))


def _fill(
    labels: LabelScene | None,
    bag: BagReader,
    scene: Scene,
    streams: list[Stream],
    span: Span,
    console: Console,
) -> None:
    """Show everything, with a bar, and say what could not be."""
    lost: Counter[str] = Counter()
    with _bar(console) as bar:
        if labels is not None:
            task = bar.add_task('labels', total=None)
            for number in labels.show(scene, span):
                bar.advance(task, number)
        task = bar.add_task('recording', total=count(bag, streams, span))
        for problem in show_bag(bag, scene, streams, span):
            bar.advance(task)
            if problem is not None:
                lost[problem] += 1
        task = bar.add_task('scores', total=None)
        show_scores(bag, scene, streams, span)
    for text, number in lost.most_common(5):
        console.print(f'[yellow]left out {number}:[/] {escape(text)}', highlight=False)


def _bar(console: Console) -> Progress:
    columns = (
        *(TextColumn('{task.description}'), BarColumn()),
        *(MofNCompleteColumn(), TimeRemainingColumn()),
    )
    return Progress(*columns, console=console, transient=True)
