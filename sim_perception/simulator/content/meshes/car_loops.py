"""The horizontal loops that a car's body is stacked from.

All loops have the same points: the front face, the left side, the rear face, mirrored. Features
(lamps, grille, door seams, wheel arches, pillars, panes) lie on fixed points and rows, so their
edges are crisp however the loops are bent.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.content.meshes.car_shape import CarShape

F64 = npt.NDArray[np.float64]

# Rows of the lower body: height fraction between bottom and belt edge, width factor, and how
# far nose and tail stand back, metres.
_FRACTION = np.array([0.0, 0.1, 0.28, 0.47, 0.66, 0.84, 0.95, 1.0])
_WIDTH = np.array([0.94, 0.975, 1.0, 1.0, 0.992, 0.972, 0.95, 0.925])
_FRONT = np.array([0.13, 0.03, 0.0, 0.01, 0.035, 0.075, 0.13, 0.24])
_REAR = np.array([0.12, 0.03, 0.0, 0.005, 0.02, 0.05, 0.075, 0.11])
# Rows of the greenhouse, 0 at the sill and 1 at the roof's edge.
_PANE = np.array([0.0, 0.07, 0.5, 0.90, 1.0])
# Front and rear face points: fraction of the half width.
_FACE = np.array([0.0, 0.2, 0.4, 0.56, 0.72, 0.87])
# How much tighter the greenhouse's corners are than the body's.
_PANE_SHARPNESS = 1.7
_ARCH = np.cos(np.linspace(0, np.pi, 8))


class CarLoops:
    """Makes the half loops (left side, front centre to rear centre) of one car."""

    def __init__(self, shape: CarShape) -> None:
        self.shape = shape
        half = shape.length / 2
        self.front_axle = half - shape.front_overhang
        self.rear_axle = self.front_axle - shape.wheelbase
        self.arch = shape.wheel_radius * 1.13 + 0.01
        self.screen_foot = half - shape.hood
        self.rear_foot = -half + shape.deck
        self.doors = self._doors()
        a = self.arch * _ARCH
        seams = np.concatenate([[x + 0.009, x - 0.009] for x in self.doors])
        side = [self.front_axle + a, seams, self.rear_axle + a]
        self.side_x = np.concatenate(side)
        faces, arch = len(_FACE), len(_ARCH)
        self.count = 2 * faces + len(self.side_x)
        self.first_side = faces
        self.seam = faces + arch + 2 * np.arange(len(self.doors))
        # Pillars: the front arch's middle carries the A pillar, the rear arch's the C pillar.
        self.pillar_a = faces + arch // 2
        self.pillar_c = faces + arch + len(seams) + arch // 2
        self.last_side = self.count - faces

    def _doors(self) -> F64:
        """Return where the door seams lie along x: front edge, middle, rear edge."""
        first = self.front_axle - self.arch - 0.12
        last = max(self.rear_axle + 0.35 * self.arch, self.rear_foot + 0.25)
        last = min(last, self.rear_axle + self.arch + 0.1)
        middle = 0.5 * (first + last) + 0.04
        if self.shape.family == 'pickup':
            last = self.rear_foot + 0.12
            middle = 0.5 * (first + last)
        return np.array([first, middle, max(last, self.rear_axle + self.arch + 0.03)])

    def edge_height(self, x: F64) -> F64:
        """Return the height of the body's upper edge at x."""
        s, half = self.shape, self.shape.length / 2
        tail = s.deck_height - 0.03 if s.deck > 0.1 else s.belt + 0.02
        behind = self.rear_foot + (0.3 if s.deck > 0.1 else 0.0)
        knots = [-half, min(self.rear_foot - 0.01, behind - 0.3), behind, self.screen_foot - 0.1,
                 self.screen_foot + 0.3, half - 0.25, half]  # fmt: skip
        heights = [tail - 0.02, tail, s.belt + 0.02, s.belt - 0.01,
                   s.belt - 0.045, s.nose + 0.03, s.nose - 0.02]  # fmt: skip
        return np.interp(x, knots, heights)

    def bottom_height(self, x: F64) -> F64:
        """Return the height of the body's lower edge, raised over the wheels."""
        s, half = self.shape, self.shape.length / 2
        ends = np.clip((np.abs(x) - 0.72 * half) / (0.28 * half), 0, 1)
        bottom = s.clearance + 0.06 * ends**2
        for axle in (self.front_axle, self.rear_axle):
            inside = np.clip(self.arch**2 - (x - axle) ** 2, 0, None)
            arch = s.wheel_radius + np.sqrt(inside)
            bottom = np.where(inside > 1e-9, np.maximum(bottom, arch), bottom)
        return bottom

    def plan(self, front: float, rear: float, width: float, side_x: F64, *, sharp: float) -> F64:
        """Return (count, 2) outline points: superellipse corners, given side positions."""
        middle = 0.5 * (front + rear)
        points = np.zeros((self.count, 2))
        q, ahead_power, behind_power = self._powers(sharp)
        for end, power, part in (
            (front, ahead_power, slice(0, self.first_side)),
            (rear, behind_power, slice(self.last_side, None)),
        ):
            eta = _FACE if end == front else _FACE[::-1]
            points[part, 0] = middle + (end - middle) * (1 - eta**q) ** (1 / power)
            points[part, 1] = width * eta
        side = slice(self.first_side, self.last_side)
        x = np.clip(side_x, rear + 0.05, front - 0.05)
        ahead = x > middle
        span = np.where(ahead, front - middle, middle - rear)
        xi = np.abs(x - middle) / span
        fall = xi ** np.where(ahead, ahead_power, behind_power)
        points[side, 0] = x
        points[side, 1] = width * (1 - fall) ** (1 / q)
        return points

    def _powers(self, sharp: float) -> tuple[float, float, float]:
        r = self.shape.roundness
        return 3.2 - 0.6 * r, (11.0 - 3.0 * r) * sharp, (14.0 - 4.0 * r) * sharp

    def _corners(self, front: float, rear: float, sharp: float) -> tuple[float, float]:
        """Return x of the outermost face points at both ends."""
        middle, eta = 0.5 * (front + rear), _FACE[-1]
        q, ahead, behind = self._powers(sharp)
        rest = 1 - eta**q
        x0 = middle + (front - middle) * rest ** (1 / ahead)
        return float(x0), float(middle + (rear - middle) * rest ** (1 / behind))

    def lower(self) -> F64:
        """Return (rows, count, 3) of bottom edge to belt edge."""
        half, rows = self.shape.length / 2, []
        scale = np.clip(self.shape.hood / 1.1, 0.5, 1.1)
        for f, w, front, rear in zip(_FRACTION, _WIDTH, _FRONT, _REAR, strict=True):
            tail = rear * (0.6 if self.shape.deck < 0.1 else 1.0)
            xy = self.plan(half - front * scale, -half + tail, w * self.shape.width / 2,
                           self.side_x, sharp=1.0)  # fmt: skip
            z0, z1 = self.bottom_height(xy[:, 0]), self.edge_height(xy[:, 0])
            rows.append(np.column_stack([xy, z0 + f * (z1 - z0)]))
        return np.array(rows)

    def under(self, bottom: F64) -> F64:
        """Return (4, count, 3): bottom edge, wheel tunnels, and the floor."""
        tunnel, wall, floor = bottom.copy(), bottom.copy(), bottom.copy()
        tunnel[:, 1] *= 0.66
        wall[:, 1] *= 0.66
        wall[:, 2] = floor[:, 2] = self.shape.clearance + 0.03
        floor[:, 1] = 0.0
        return np.array([floor, wall, tunnel, bottom])

    def pane_x(self, front: float, rear: float) -> F64:
        """Return x of the side points of a greenhouse loop."""
        arch = len(_ARCH)
        head, tail = arch // 2, arch - arch // 2 - 1
        corner_front, corner_rear = self._corners(front, rear, _PANE_SHARPNESS)
        a, c = corner_front - 0.05, corner_rear + self._rear_pillar()
        doors = np.clip(self.doors, c + 0.12, a - 0.12)
        doors[0] = a - 0.10
        b = 0.055
        seams = [doors[0], doors[0] - 0.02, doors[1] + b, doors[1] - b]
        last = max(c + 0.16, min(doors[2], doors[1] - 0.3))
        seams += [last + 0.03, last - 0.03]
        before = np.linspace(corner_front - 0.01, a, head + 1)
        middle_front = np.linspace(a, seams[0], arch - head + 1)[1:-1]
        after = np.linspace(seams[-1], c, tail + 2)[1:]
        behind = np.linspace(c, corner_rear + 0.01, arch - tail)[1:]
        return np.concatenate([before, middle_front, seams, after, behind])

    def _rear_pillar(self) -> float:
        thin = {'sedan': 0.22, 'coupe': 0.2, 'pickup': 0.12, 'van': 0.12, 'microvan': 0.12}
        return thin.get(self.shape.family, 0.16)

    def upper(self) -> F64:
        """Return (rows, count, 3) of the greenhouse from the sill to the roof's middle."""
        s = self.shape
        rows = []
        base_width = s.width / 2 * 0.885
        lift = s.height - 0.05
        for t in _PANE:
            front = self.screen_foot - 0.02 - t * s.windscreen
            rear = self.rear_foot + 0.10 + t**1.1 * s.rear_window
            width = base_width * (1 - s.tumblehome * t ** (1.25))
            xy = self.plan(front, rear, width, self.pane_x(front, rear), sharp=_PANE_SHARPNESS)
            foot = self.edge_height(xy[:, 0]) + 0.015 + self._crown(xy)
            top = lift - 0.05 * ((xy[:, 0] - 0.5 * (front + rear)) / (0.5 * (front - rear))) ** 2
            rows.append(np.column_stack([xy, foot + t * (top - foot)]))
        edge = rows[-1]
        middle = 0.5 * (edge[0, 0] + edge[-1, 0])
        for inward, rise in ((0.94, 0.5), (0.7, 0.8), (0.35, 0.96), (0.0, 1.0)):
            row = edge.copy()
            row[:, 1] *= inward
            row[:, 0] = middle + (edge[:, 0] - middle) * (1 - 0.06 * (1 - inward))
            bow = 1 - ((row[:, 0] - middle) / (edge[0, 0] - middle)) ** 2
            row[:, 2] = edge[:, 2] + (s.height - lift) * rise * (0.35 + 0.65 * bow)
            rows.append(row)
        stack = np.array(rows)
        stack[..., 2] *= s.height / stack[..., 2].max()
        return stack

    def stacks(self) -> tuple[F64, F64, F64]:
        """Return the half loops of underside, skin up to the window's sill, and greenhouse."""
        lower, upper = self.lower(), self.upper()
        skin = np.concatenate([lower[:-1], self.deck_rows(lower[-1], upper[0])])
        return self.under(lower[0]), skin, upper

    def _crown(self, xy: F64) -> F64:
        inward = 1 - np.clip(np.abs(xy[:, 1]) / (self.shape.width / 2), 0, 1) ** 2
        return 0.05 * inward

    def deck_rows(self, belt: F64, foot: F64) -> F64:
        """Return (4, count, 3) from the belt edge over bonnet, shoulder and boot to the sill."""
        rows = [belt]
        for t in (0.12, 0.45, 0.8):
            row = belt + t * (foot - belt)
            reach = np.hypot(foot[:, 0] - belt[:, 0], foot[:, 1] - belt[:, 1])
            row[:, 2] += np.clip(0.16 * reach, 0, 0.07) * t * (1 - t) * 2.2
            row[:, 2] += np.clip(0.35 * reach, 0, 0.02) * (t < 0.2)
            rows.append(row)
        rows.append(foot)
        return np.array(rows)
