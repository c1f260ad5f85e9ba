"""Printed things: traffic signs, billboards, truck sides, licence plates."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.simulator.content.textures.noise import (
    F32,
    SIZE,
    Maker,
    jitter,
    letters,
    noise,
    pixels,
)

U8 = npt.NDArray[np.uint8]
_HALF = SIZE // 2


def _ink(color: npt.ArrayLike) -> tuple[int, int, int]:
    r, g, b = (np.clip(np.asarray(color, float), 0, 1) * 255).astype(int).tolist()
    return r, g, b


def _canvas(color: npt.ArrayLike) -> U8:
    image = np.empty((SIZE, SIZE, 3), np.uint8)
    image[:] = _ink(color)
    return image


def _finish(image: U8, rng: np.random.Generator, worn: bool) -> F32:
    fade = 1 - (0.04 + 0.14 * worn) * noise(rng, 4, 4)
    return (image.astype(np.float32) / 255) * fade[..., None]


def _ring_sign(rng: np.random.Generator, worn: bool) -> F32:
    """Return a white disc with a red ring and a number or a bar."""
    red = jitter(rng, [0.75, 0.06, 0.07])
    image = _canvas(red)
    inner = [0.92, 0.92, 0.9] if rng.random() < 0.85 else [0.9, 0.78, 0.1]
    cv2.circle(image, (_HALF, _HALF), 190, _ink(inner), -1)
    if rng.random() < 0.7:
        number = str(int(rng.integers(2, 10)) * 10)
        cv2.putText(image, number, (108, 322), 2, 5.6, (15, 15, 15), 34)
    else:
        cv2.line(image, (110, 402), (402, 110), _ink(red), 42)
    return _finish(image, rng, worn)


def _blue_sign(rng: np.random.Generator, worn: bool) -> F32:
    """Return a blue disc with a white arrow."""
    image = _canvas(jitter(rng, [0.05, 0.22, 0.62]))
    angle = float(rng.choice([0, np.pi / 2, np.pi, np.pi / 4]))
    tip = (_HALF + int(150 * np.cos(angle)), _HALF - int(150 * np.sin(angle)))
    tail = (2 * _HALF - tip[0], 2 * _HALF - tip[1])
    cv2.arrowedLine(image, tail, tip, (240, 240, 240), 52, tipLength=0.4)
    return _finish(image, rng, worn)


def _warning_sign(rng: np.random.Generator, worn: bool) -> F32:
    """Return a white or yellow triangle with a red border and a black figure."""
    image = _canvas(jitter(rng, [0.75, 0.06, 0.07]))
    inner = [0.93, 0.93, 0.9] if rng.random() < 0.7 else [0.92, 0.75, 0.1]
    cv2.fillPoly(image, [np.array([[256, 118], [378, 332], [134, 332]])], _ink(inner))
    cv2.line(image, (256, 190), (256, 268), (12, 12, 12), 34)
    cv2.circle(image, (256, 306), 19, (12, 12, 12), -1)
    return _finish(image, rng, worn)


def _stop_sign(rng: np.random.Generator, worn: bool) -> F32:
    image = _canvas([0.92, 0.92, 0.9])
    angle = np.pi / 8 + np.arange(8) * np.pi / 4
    points = _HALF + 228 * np.stack([np.cos(angle), np.sin(angle)], -1)
    cv2.fillPoly(image, [points.astype(np.int32)], _ink(jitter(rng, [0.72, 0.05, 0.06])))
    cv2.putText(image, 'STOP', (72, 306), 2, 4.6, (240, 240, 240), 24)
    return _finish(image, rng, worn)


def _square_sign(rng: np.random.Generator, worn: bool) -> F32:
    """Return a direction or information board."""
    palette = ([0.05, 0.22, 0.6], [0.02, 0.38, 0.2], [0.92, 0.92, 0.9], [0.92, 0.74, 0.08])
    ground = jitter(rng, palette[int(rng.integers(4))])
    ink = (20, 20, 20) if ground.mean() > 0.5 else (240, 240, 240)
    image = _canvas(ground)
    cv2.rectangle(image, (18, 18), (SIZE - 18, SIZE - 18), ink, 10)
    if rng.random() < 0.3:
        cv2.putText(image, 'P', (120, 410), 2, 13.0, ink, 60)
    else:
        for k in range(int(rng.integers(2, 4))):
            cv2.putText(image, letters(rng, 4, 8), (60, 150 + 130 * k), 2, 2.6, ink, 10)
        cv2.arrowedLine(image, (420, 440), (420, 300), ink, 20, tipLength=0.5)
    return _finish(image, rng, worn)


def _yield_sign(rng: np.random.Generator, worn: bool) -> F32:
    image = _canvas(jitter(rng, [0.75, 0.06, 0.07]))
    cv2.fillPoly(image, [np.array([[256, 400], [372, 186], [140, 186]])], _ink([0.93, 0.93, 0.9]))
    return _finish(image, rng, worn)


def _no_entry_sign(rng: np.random.Generator, worn: bool) -> F32:
    image = _canvas(jitter(rng, [0.75, 0.05, 0.06]))
    cv2.rectangle(image, (92, 214), (420, 298), (240, 240, 240), -1)
    return _finish(image, rng, worn)


def _billboard(rng: np.random.Generator, worn: bool) -> F32:
    """Return an advertisement: a picture-like ground, figures and lettering."""
    y, x = pixels()
    a, b, c = rng.random(3), rng.random(3), rng.random(3)
    t = (x * np.cos(rng.uniform(0, 6.28)) + y * np.sin(rng.uniform(0, 6.28))) / SIZE
    ground = a + (b - a) * (0.5 + 0.5 * np.sin(3 * t))[..., None]
    if rng.random() < 0.5:
        ground = ground * (0.7 + 0.6 * noise(rng, 3, 6)[..., None])
    image = np.ascontiguousarray((np.clip(ground, 0, 1) * 255).astype(np.uint8))
    for _ in range(int(rng.integers(1, 6))):
        centre = tuple(int(v) for v in rng.integers(60, SIZE - 60, 2))
        color = _ink(rng.random(3))
        kind = int(rng.integers(3))
        if kind == 0:
            cv2.circle(image, centre, int(rng.integers(25, 140)), color, -1)
        elif kind == 1:
            w, h = rng.integers(40, 220, 2)
            cv2.rectangle(image, centre, (centre[0] + int(w), centre[1] + int(h)), color, -1)
        else:
            points = rng.integers(0, SIZE, (int(rng.integers(3, 6)), 2)).astype(np.int32)
            cv2.fillPoly(image, [cv2.convexHull(points)], color)
    ink = _ink(c if np.abs(c - a).sum() > 0.8 else 1 - a)
    for k in range(int(rng.integers(1, 4))):
        size = float(rng.uniform(1.2, 3.2))
        place = (int(rng.integers(20, 160)), 100 + 130 * k + int(rng.integers(0, 30)))
        cv2.putText(image, letters(rng, 3, 9), place, int(rng.integers(0, 5)), size, ink,
                    int(2 + 3 * size))  # fmt: skip
    return _finish(image, rng, worn)


def _truck_side(rng: np.random.Generator, worn: bool) -> F32:
    """Return the side of a box body: plain, or with stripes and a firm's name."""
    ground = [0.9, 0.9, 0.88] if rng.random() < 0.6 else rng.random(3) * 0.8
    image = _canvas(ground)
    ink = _ink(rng.random(3) * 0.7)
    if rng.random() < 0.7:
        y = int(rng.integers(140, 330))
        cv2.rectangle(image, (0, y), (SIZE, y + int(rng.integers(10, 70))), ink, -1)
    if rng.random() < 0.7:
        cv2.putText(image, letters(rng, 4, 9), (50, int(rng.integers(380, 470))), 2, 3.0, ink, 14)
    if rng.random() < 0.4:
        cv2.circle(image, (int(rng.integers(80, 430)), int(rng.integers(290, 400))), 60,
                   _ink(rng.random(3)), -1)  # fmt: skip
    return _finish(image, rng, worn)


def _graphic(rng: np.random.Generator, worn: bool) -> F32:
    """Return a firm's print for the side of a vehicle or the board over a shop.

    It is stretched to several times its height, so that letters are drawn narrow.
    """
    palette = np.array([[0.92, 0.92, 0.9], [0.95, 0.75, 0.08], [0.75, 0.06, 0.07],
                        [0.05, 0.2, 0.55], [0.06, 0.35, 0.16], [0.1, 0.1, 0.11]])  # fmt: skip
    white = rng.random() < 0.5
    ground = jitter(rng, palette[0] if white else palette[int(rng.integers(len(palette)))])
    image = _canvas(ground)
    accent = rng.random(3) * 0.9
    shape = int(rng.integers(4))
    if shape == 0:
        points = np.array([[0, SIZE], [0, int(rng.integers(150, 350))],
                           [SIZE, int(rng.integers(250, 450))], [SIZE, SIZE]])  # fmt: skip
        cv2.fillPoly(image, [points.astype(np.int32)], _ink(accent))
    elif shape == 1:
        for k in range(3):
            x = 330 + 60 * k
            cv2.line(image, (x, 0), (x - 160, SIZE), _ink(np.clip(accent * (1 - 0.2 * k), 0, 1)),
                     36)  # fmt: skip
    elif shape == 2:
        cv2.ellipse(image, (90, 250), (60, 190), 0, 0, 360, _ink(accent), -1)
        cv2.ellipse(image, (90, 250), (34, 110), 0, 0, 360, _ink(rng.random(3)), -1)
    else:
        photo = np.clip(accent + 0.5 * (noise(rng, 4, 6)[..., None] - 0.5), 0, 1)
        image[:, 300:] = (photo[:, 300:] * 255).astype(np.uint8)
    dark = ground.mean() > 0.5
    ink = _ink(np.array([0.05, 0.07, 0.2]) if dark else np.array([0.95, 0.95, 0.93]))
    name = letters(rng, 4, 8)
    band = np.zeros((SIZE, SIZE), np.uint8)
    size = float(rng.uniform(3.0, 5.0))
    cv2.putText(band, name, (30, 210), int(rng.integers(0, 5)), size, 255, int(4 * size))
    tall = cv2.resize(band[:240], (SIZE, 420))[-SIZE:]
    image[40 : 40 + len(tall)][tall > 90] = ink
    line = f'{letters(rng, 5, 9)}   0{int(rng.integers(10000, 99999))}'
    cv2.putText(image, line, (40, 490), 2, 1.4, ink, 4)
    return _finish(image, rng, worn)


def _plate(rng: np.random.Generator, worn: bool) -> F32:
    ground = [0.92, 0.92, 0.9] if rng.random() < 0.7 else [0.92, 0.78, 0.15]
    image = _canvas(ground)
    if rng.random() < 0.6:
        cv2.rectangle(image, (0, 0), (52, SIZE), _ink([0.05, 0.15, 0.6]), -1)
    # The texture is stretched over a plate four times as wide as high: draw letters tall.
    small = np.empty((128, SIZE, 3), np.uint8)
    small[:] = image[:128]
    text = f'{letters(rng, 2, 3)} {int(rng.integers(100, 9999))}'
    cv2.putText(small, text, (70, 98), 2, 2.5, (15, 15, 25), 8)
    image = np.repeat(small, 4, 0)
    return _finish(image, rng, worn)


KINDS: dict[str, Maker] = {
    'sign_0': _ring_sign, 'sign_1': _blue_sign, 'sign_2': _warning_sign, 'sign_3': _stop_sign,
    'sign_4': _square_sign, 'sign_5': _yield_sign, 'sign_6': _no_entry_sign,
    'sign_7': _square_sign, 'billboard': _billboard, 'graphic': _graphic,
    'truck_side': _truck_side, 'plate': _plate,
}  # fmt: skip
