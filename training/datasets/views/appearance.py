"""Random views and appearances of labelled images, so that what is learnt in simulation lasts.

Pure numpy and OpenCV on uint8, made for loader workers: the geometry first cuts the crop, so that
everything after it touches few pixels. All randomness comes from the generator given.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from sim_perception.types import Camera
from training.datasets.views.views import GeometryConfig, draw_view
from training.engine.config import Section

Image = npt.NDArray[np.uint8]
Rng = np.random.Generator


@dataclass(frozen=True)
class LabelledImage:
    """An image with its pixel truth.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 metres along the optical axis, NaN where unknown (sky).
        semantic: (H, W) uint8 class ids, the taxonomy's ignore id where unknown.
        camera: intrinsics of this image.
    """

    image: Image
    depth: npt.NDArray[np.float32]
    semantic: Image
    camera: Camera


class AppearanceConfig(Section):
    """Probability of every change of appearance; ``strength`` scales their sizes."""

    strength: float = Field(default=1.0, ge=0)
    tone: float = Field(default=0.9, ge=0, le=1)
    """Gamma, contrast, brightness and white balance."""
    color: float = Field(default=0.7, ge=0, le=1)
    """Saturation and hue."""
    gray: float = Field(default=0.15, ge=0, le=1)
    filter: float = Field(default=0.2, ge=0, le=1)
    """Random convolution: changes textures, keeps shapes (Xu et al., "RandConv", ICLR 2021)."""
    fog: float = Field(default=0.15, ge=0, le=1)
    shadow: float = Field(default=0.2, ge=0, le=1)
    blur: float = Field(default=0.3, ge=0, le=1)
    """Defocus, motion, or loss of resolution."""
    sharpen: float = Field(default=0.15, ge=0, le=1)
    noise: float = Field(default=0.4, ge=0, le=1)
    jpeg: float = Field(default=0.4, ge=0, le=1)
    cutout: float = Field(default=0.2, ge=0, le=1)


def random_view(sample: LabelledImage, config: GeometryConfig, rng: Rng) -> LabelledImage:
    """Return a scaled, cropped and perhaps mirrored view with its own camera.

    Depth keeps its metres: only the camera's focal length tells that the view was scaled.
    """
    height, width = sample.image.shape[:2]
    view = draw_view((width, height), sample.camera.fx, config, rng)
    return LabelledImage(
        view.smooth(sample.image),
        view.nearest(sample.depth),
        view.nearest(sample.semantic),
        view.camera(sample.camera),
    )


def random_appearance(
    image: Image, depth: npt.NDArray[np.float32], config: AppearanceConfig, rng: Rng
) -> Image:
    """Return the image under another light, weather and camera; geometry is untouched.

    Args:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) metres, NaN = sky; only fog looks at it.
        config: probabilities and strength.
        rng: source of all randomness.
    """
    s = config.strength
    if rng.random() < config.filter:
        image = random_filter(image, rng, s)
    if rng.random() < config.shadow:
        image = cast_shadow(image, rng)
    if rng.random() < config.fog:
        image = add_fog(image, depth, rng)
    if rng.random() < config.color:
        image = shift_color(image, rng, s)
    if rng.random() < config.tone:
        image = shift_tone(image, rng, s)
    if rng.random() < config.gray:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < config.cutout:
        image = cut_out(image, rng)
    if rng.random() < config.blur:
        image = blur(image, rng, s)
    elif rng.random() < config.sharpen:
        image = sharpen(image, rng, s)
    if rng.random() < config.noise:
        image = add_noise(image, rng, s)
    if rng.random() < config.jpeg:
        image = compress(image, rng)
    return image


def shift_tone(image: Image, rng: Rng, strength: float = 1.0) -> Image:
    """Change gamma, contrast and brightness, and the channels' balance, by one table each."""
    gamma = np.exp(rng.uniform(-0.5, 0.5) * strength)
    contrast = np.exp(rng.uniform(-0.5, 0.4) * strength)
    brightness = rng.uniform(-0.12, 0.15) * strength
    balance = np.exp(rng.normal(0, 0.08, 3) * strength)
    x = np.linspace(0, 1, 256)[:, None] ** gamma * balance
    table = np.clip(((x - 0.5) * contrast + 0.5 + brightness) * 255, 0, 255).astype(np.uint8)
    return cv2.LUT(image, np.ascontiguousarray(table.reshape(1, 256, 3)))


def shift_color(image: Image, rng: Rng, strength: float = 1.0) -> Image:
    """Change saturation and turn the hue, by one 3x3 colour matrix around the grey axis."""
    saturation = np.exp(rng.uniform(-1.0, 0.5) * strength)
    angle = rng.normal(0, 0.2) * strength
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross
    turn += (1 - np.cos(angle)) * np.outer(axis, axis)
    gray = np.tile([0.299, 0.587, 0.114], (3, 1))
    matrix = (saturation * np.eye(3) + (1 - saturation) * gray) @ turn
    return cv2.transform(image, matrix.astype(np.float32))


def random_filter(image: Image, rng: Rng, strength: float = 1.0) -> Image:
    """Mix the image with itself under a random filter and colour matrix."""
    size = int(rng.choice([1, 3, 5]))
    kernel = rng.normal(0, 1 / size, (size, size)).astype(np.float32)
    mix = rng.normal(0, 0.577, (3, 3)).astype(np.float32)
    source = image.astype(np.float32)
    changed = cv2.transform(cv2.filter2D(source, -1, kernel), mix)
    mean, deviation = cv2.meanStdDev(changed)
    old_mean, old_deviation = cv2.meanStdDev(source)
    gain = old_deviation / np.maximum(deviation, 1e-3)
    matrix = np.hstack([np.diag(gain[:, 0]), old_mean - gain * mean]).astype(np.float32)
    changed = cv2.transform(changed, matrix)
    share = float(rng.uniform(0, 0.8) * min(1.0, strength))
    return cv2.addWeighted(source, 1 - share, changed, share, 0).clip(0, 255).astype(np.uint8)


def cast_shadow(image: Image, rng: Rng) -> Image:
    """Darken or lighten a few soft polygons."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        centre = rng.uniform([0, 0.3 * height], [width, height])
        reach = rng.uniform(0.1, 0.5) * width
        corners = centre + rng.uniform(-1, 1, (int(rng.integers(3, 7)), 2)) * [reach, reach / 3]
        cv2.fillPoly(mask, [cv2.convexHull(corners.astype(np.int32))], 255)
    softness = float(rng.uniform(0.5, 4))
    soft = cv2.GaussianBlur(mask, (0, 0), softness).astype(np.float32) / 255
    gain = 1 + soft * (rng.uniform(0.3, 0.8) - 1 if rng.random() < 0.8 else rng.uniform(0.1, 0.6))
    return (image * gain[..., None]).clip(0, 255).astype(np.uint8)


def add_fog(image: Image, depth: npt.NDArray[np.float32], rng: Rng) -> Image:
    """Blend towards a haze colour by ``1 - exp(-depth / range)``; the sky counts as 300 m."""
    reach = np.exp(rng.uniform(np.log(30), np.log(400)))
    colour = rng.uniform(140, 245) * np.exp(rng.normal(0, 0.04, 3))
    share = 1 - np.exp(-np.nan_to_num(depth, nan=300.0) / reach)[..., None]
    return (image * (1 - share) + colour * share).clip(0, 255).astype(np.uint8)


def cut_out(image: Image, rng: Rng) -> Image:
    """Cover a few small rectangles; the truth behind them stays to be guessed from context."""
    height, width = image.shape[:2]
    image = image.copy()
    for _ in range(int(rng.integers(1, 4))):
        h = int(rng.uniform(0.05, 0.25) * height)
        w = int(rng.uniform(0.03, 0.15) * width)
        y, x = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
        image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return image


def blur(image: Image, rng: Rng, strength: float = 1.0) -> Image:
    """Defocus, smear along a line, or shrink and enlarge."""
    kind = rng.integers(0, 3)
    if kind == 0:
        return cv2.GaussianBlur(image, (0, 0), 0.3 + float(rng.uniform(0, 1.2)) * strength)
    if kind == 1:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        angle = rng.uniform(0, np.pi)
        reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        middle = (length - 1) / 2
        start, end = np.rint(middle - reach).astype(int), np.rint(middle + reach).astype(int)
        cv2.line(kernel, start.tolist(), end.tolist(), 1.0)
        return cv2.filter2D(image, -1, kernel / kernel.sum())
    factor = 1 + rng.uniform(0.2, 1.2) * strength
    height, width = image.shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR)


def sharpen(image: Image, rng: Rng, strength: float = 1.0) -> Image:
    """Unsharp mask, as many cameras do."""
    amount = float(rng.uniform(0.3, 1.5)) * strength
    soft = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 1.5)))
    return cv2.addWeighted(image, 1 + amount, soft, -amount, 0)


def add_noise(image: Image, rng: Rng, strength: float = 1.0) -> Image:
    """Gaussian noise, at times coarse and stronger in the dark."""
    height, width = image.shape[:2]
    sigma = float(rng.uniform(1, 12)) * strength
    channels = 1 if rng.random() < 0.3 else 3
    coarse = 2 if rng.random() < 0.3 else 1
    noise = rng.standard_normal(
        (-(-height // coarse), -(-width // coarse), channels), dtype=np.float32
    )
    if coarse > 1:
        noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
        noise = noise.reshape(height, width, channels)
    return (image + sigma * noise).clip(0, 255).astype(np.uint8)


def compress(image: Image, rng: Rng) -> Image:
    """JPEG artefacts of quality 25 to 95."""
    quality = int(rng.integers(25, 96))
    _, buffer = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    return np.asarray(decoded, np.uint8)
