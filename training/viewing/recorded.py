"""A recording in the viewer's scene: messages in time order, and scores where there is truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy.typing as npt

from sim_perception.bags.errors import CorruptBagError, MessageError
from sim_perception.bags.reader import BagReader
from sim_perception.viewer.messages import MessageScene
from sim_perception.viewer.scene import SCORES, Scene
from sim_perception.viewer.streams import PIXELS, Kind, Stream
from training.metrics import ConfusionMatrix, DepthMetrics

Image = npt.NDArray[Any]

_SCORED_DEPTH = 80.0
_SHOWN = ('abs_rel', 'delta1')


@dataclass(frozen=True)
class Span:
    """A part of a recording, stamps in nanoseconds: ``start <= stamp < stop``."""

    start: int
    stop: int


def span_of(
    bag: BagReader, streams: Sequence[Stream], start: float, duration: float | None
) -> Span:
    """Return the part of a recording that is meant.

    Args:
        bag: the recording.
        streams: what of it is shown.
        start: seconds after its first image or scan: nodes that start have nothing to show.
        duration: seconds; None is to its end.

    Raises:
        ValueError: if there is nothing in it.
    """
    first, last = bag.time_range
    sensors = [one.topic for one in streams if one.kind in (Kind.IMAGE, Kind.CLOUD)]
    first = min((int(bag.stamps(topic)[0]) for topic in sensors), default=first)
    begin = first + round(start * 1e9)
    end = last + 1 if duration is None else min(begin + round(duration * 1e9), last + 1)
    if not begin < end:
        raise ValueError(
            f'{bag.path} has {(last - first) / 1e9:.1f} s, nothing in {duration or 0:g} s from '
            f'{start:g} s on; choose another --start or --duration'
        )
    return Span(begin, end)


def count(bag: BagReader, streams: Sequence[Stream], span: Span) -> int:
    """Return how many messages of a part of a recording are shown."""
    return sum(len(bag.between(one.topic, span.start, span.stop)) for one in streams)


def show_bag(
    bag: BagReader, scene: Scene, streams: Sequence[Stream], span: Span
) -> Iterator[str | None]:
    """Show a part of a recording; yields after every message: None, or why it is left out."""
    shown = MessageScene(scene)
    for stream in streams:
        # What stands still may have been said before the part begins.
        if stream.kind in (Kind.STATIC, Kind.INFO):
            numbers = range(bag.count(stream.topic) if stream.kind is Kind.STATIC else 1)
            for number in numbers:
                yield _shown(shown, stream, partial(bag.message, stream.topic, number))
    by_topic = {stream.topic: stream for stream in streams}
    for topic, _, data in bag.messages(list(by_topic), span.start, span.stop):
        yield _shown(shown, by_topic[topic], partial(bag.parsed, topic, data))


def _shown(shown: MessageScene, stream: Stream, read: Callable[[], Any]) -> str | None:
    """Show a message; returns why it is left out if it cannot be shown."""
    try:
        shown.show(stream, read())
    except (MessageError, CorruptBagError) as error:
        return f'{stream.topic}: {error}'
    return None


def show_scores(bag: BagReader, scene: Scene, streams: Sequence[Stream], span: Span) -> None:
    """Show what depth and classes are worth, image by image, where a recording has their truth."""
    topics = {stream.entity: stream.topic for stream in streams}
    depths, classes = PIXELS
    for stamp, said, true in _pairs(bag, topics, depths, span):
        depth = DepthMetrics(max_depth=_SCORED_DEPTH)
        depth.update(said, true)
        scores = depth.compute()
        scene.at(stamp)
        scene.figures(SCORES, {name: scores[name] for name in _SHOWN if name in scores})
    for stamp, said, true in _pairs(bag, topics, classes, span):
        confusion = ConfusionMatrix(len(scene.taxonomy))
        confusion.update(said, true)
        if math.isfinite(confusion.miou()):
            scene.at(stamp)
            scene.figures(SCORES, {'mIoU of classes': confusion.miou()})


def _pairs(
    bag: BagReader, topics: Mapping[str, str], names: Sequence[str], span: Span
) -> Iterator[tuple[int, Image, Image]]:
    """Yield stamp, prediction and truth of the images that have both."""
    pair = [topics.get(name, '') for name in names]
    if not all(pair):
        return
    for said, true in bag.synchronized(pair).tolist():
        stamp = int(bag.stamps(pair[0])[said])
        if not span.start <= stamp < span.stop:
            continue
        images = bag.image(pair[0], said), bag.image(pair[1], true)
        if images[0].shape == images[1].shape:
            yield stamp, *images
