"""Pictures of clips with what the permanence network shall find and what it finds."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from sim_perception.inference.object_peaks import find_peaks
from sim_perception.inference.permanence import HIDDEN_VISIBILITY
from sim_perception.models.permanence import BOX_UNIT, OUTPUT_STRIDE, PermanenceOutput
from training.tasks.permatrack.maps import COLUMNS

Image = npt.NDArray[np.uint8]

_SEEN, _HIDDEN = (0, 255, 0), (255, 40, 40)
_THRESHOLD = 0.3


def clip_picture(batch: dict[str, Any], output: PermanenceOutput, clips: int) -> Image:
    """Draw first, middle and last frame of some clips: wanted above, found below.

    Hidden objects are red, seen ones green; the heatmap glows under what is found.

    Args:
        batch: see ``TrackData.sample``.
        output: predictions for its images, clip by clip.
        clips: greatest number of clips.
    """
    lines = []
    frames = batch['images'].shape[1]
    for clip in range(min(clips, len(batch['images']))):
        chosen = (0, frames // 2, frames - 1)
        shown = [_shown(batch['images'][clip, t]) for t in chosen]
        wanted = [_wanted(image, batch, clip, t) for image, t in zip(shown, chosen, strict=True)]
        found = [
            _found(image, output, clip * frames + t)
            for image, t in zip(shown, chosen, strict=True)
        ]
        lines += [np.concatenate(wanted, 1), np.concatenate(found, 1)]
    return np.concatenate(lines, 0)


def _shown(normalised: torch.Tensor) -> Image:
    image = normalised.detach().float().cpu().permute(1, 2, 0).numpy()
    low, high = np.percentile(image, (0.5, 99.5))
    shown = np.clip((image - low) / max(high - low, 1e-6) * 255, 0, 255)
    return np.ascontiguousarray(shown, np.uint8)  # OpenCV draws on nothing else


def _wanted(image: Image, batch: dict[str, Any], clip: int, t: int) -> Image:
    image = image.copy()
    height, width = batch['heat'].shape[-2:]
    place = batch['place'][clip].cpu().numpy()
    values = batch['values'][clip].cpu().numpy()
    here = (batch['weight'][clip].cpu().numpy() > 0) & (place // (height * width) == t)
    for n in np.flatnonzero(here):
        cell = np.array([place[n] % width, place[n] // width % height])
        centre = (cell + values[n, COLUMNS['offset']] + 0.5) * OUTPUT_STRIDE - 0.5
        reach = np.exp(values[n, COLUMNS['box']]) * BOX_UNIT
        hidden = bool(batch['hidden'][clip, n])
        _draw(image, np.concatenate([centre - reach[:2], centre + reach[2:]]), hidden)
    return image


def _found(image: Image, output: PermanenceOutput, number: int) -> Image:
    heat = output.heat[number].detach().float().sigmoid().amax(0).cpu().numpy()
    size = (image.shape[1], image.shape[0])
    glow = cv2.resize((heat * 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    image = image // 2
    image[..., 0] = np.maximum(image[..., 0], glow)
    image[..., 1] = np.maximum(image[..., 1], glow // 2)
    detached = PermanenceOutput(*(value.detach() for value in output))
    peaks = find_peaks(detached, _THRESHOLD, number=number)
    for box, visibility in zip(peaks.box, peaks.visibility, strict=True):
        _draw(image, box, bool(visibility < HIDDEN_VISIBILITY))
    return image


def _draw(image: Image, box: npt.NDArray[np.floating], hidden: bool) -> None:
    x1, y1, x2, y2 = (int(v) for v in box.clip(-4096, 4096).round())
    cv2.rectangle(image, (x1, y1), (x2, y2), _HIDDEN if hidden else _SEEN, 1)
