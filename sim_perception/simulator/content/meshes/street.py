"""Road surface with markings, curbs, sidewalks, junctions, lots and the land around."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.strips import loft, stations, verge_strips
from sim_perception.simulator.content.meshes.woods import tree_line
from sim_perception.simulator.street.layout import CROSS_REACH, CURB_HEIGHT, Junction, Layout

F64 = npt.NDArray[np.float64]

_CHUNK = 40.0
_ROAD_TEXEL = 6.0
_WALK_TEXEL = 2.4
_LINE = 0.065
#: Depth of the land behind the sidewalks, metres.
LOT_DEPTH = 60.0


class StreetStyle:
    """Random choices that hold for a whole street.

    Attributes:
        centre: slot of the centre line and whether it is 'dashed', 'solid', 'double' or 'none'.
        edges: whether edge lines are drawn.
        dash, gap: lengths of dashed lines.
        coloured_cycle: whether the cycle lane's surface is coloured.
    """

    def __init__(self, rng: np.random.Generator, rural: bool = False) -> None:
        yellow = rng.random() < 0.3
        self.centre_slot = Slot.MARKING_YELLOW if yellow else Slot.MARKING
        self.centre = str(rng.choice(['dashed', 'dashed', 'solid', 'double', 'none']))
        self.edges = bool(rng.random() < 0.7)
        self.dash, self.gap = float(rng.uniform(1.5, 3.5)), float(rng.uniform(2.5, 6.0))
        self.coloured_cycle = bool(rng.random() < 0.4)
        if rural:
            self.dash, self.gap, self.edges = 1.5 * self.dash, 1.6 * self.gap, True


def street_meshes(layout: Layout, rng: np.random.Generator) -> list[Mesh]:
    """Return the meshes of everything on the ground, in world coordinates, in chunks."""
    style = StreetStyle(rng, layout.rural)
    meshes = []
    edges = np.arange(layout.start, layout.end + _CHUNK, _CHUNK)
    for a, b in pairwise(edges):
        builder = MeshBuilder()
        _road(builder, layout, style, float(a), float(b))
        for side in (-1, 1):
            for low, high in layout.blocks(side):
                low, high = max(low, float(a)), min(high, float(b))
                if high - low > 0.01:
                    _sidewalk(builder, layout, side, low, high)
        meshes.append(builder.build())
    for junction in layout.junctions:
        meshes.append(_junction(layout, junction, style, rng))
    meshes.append(_lots(layout, rng))
    meshes.append(_land(layout, rng))
    meshes.append(_repairs(layout, rng))
    return meshes


def _repairs(layout: Layout, rng: np.random.Generator) -> Mesh:
    """Return patches of newer asphalt and manhole covers that lie on the road."""
    builder = MeshBuilder(class_id('road'))
    section = layout.section
    for _ in range(2 + int((layout.end - layout.start) / 25)):
        s = float(rng.uniform(layout.start, layout.end - 8))
        low, high = -section.half(-1) + 0.3, section.half(1) - 0.3
        if rng.random() < 0.5:
            width = float(rng.uniform(0.5, 2.2))
            d = float(rng.uniform(low, high - width))
            along = np.linspace(s, s + float(rng.uniform(0.8, 7.0)), 4)
            loft(builder, layout, along, np.array([d, d + width]), np.full(2, 0.003),
                  int(Slot.ASPHALT_PATCH), class_id('road'), _ROAD_TEXEL)  # fmt: skip
        else:
            d = float(rng.uniform(low + 0.4, high - 0.4))
            centre = layout.line(np.array([s]), d)[0]
            angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
            ring = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(16)])
            builder.polygon(centre + 0.33 * ring + np.array([0, 0, 0.004]), Slot.MANHOLE,
                            uv=ring[:, :2])  # fmt: skip
    return builder.build()


def _road(builder: MeshBuilder, layout: Layout, style: StreetStyle, a: float, b: float) -> None:
    """Add the main road's surface; lines are cut into it, so they lie exactly on it."""
    lines = _lines(layout, style)
    period = style.dash + style.gap
    dashes = np.arange(np.floor(a / period), np.ceil(b / period) + 1) * period
    cuts = [*dashes, *(dashes + style.dash)]
    for j in layout.junctions:
        cuts += [j.s - j.reach(), j.s + j.reach(), j.s - j.reach() - 30, j.s + j.reach() + 30]
    s = stations(a, b, [float(c) for c in cuts], 5.0)
    section = layout.section
    edges = [-section.half(-1), section.half(1)]
    cycle = [
        (side * section.travel(), side * (section.travel() + section.cycle)) for side in (-1, 1)
    ]
    for d, width, _, _ in lines:
        edges += [d - width, d + width]
    edges += [x for pair in cycle for x in pair]
    cuts_d = np.unique(np.round(edges, 4))
    middle_s, middle_d = 0.5 * (s[:-1] + s[1:]), 0.5 * (cuts_d[:-1] + cuts_d[1:])
    kind = np.full((len(middle_s), len(middle_d)), int(Slot.ASPHALT))
    gaps = {
        side: np.array([any(abs(m - j.s) < j.reach() and side in j.sides
                            for j in layout.junctions) for m in middle_s])
        for side in (-1, 1)
    }  # fmt: skip
    inside = gaps[-1] | gaps[1]
    if style.coloured_cycle and section.cycle > 0:
        for low, high in cycle:
            columns = (middle_d > min(low, high)) & (middle_d < max(low, high))
            kind[np.ix_(~inside, columns)] = Slot.CYCLE_LANE
    dashed = (middle_s % period) < style.dash
    for centre, width, slot, pattern in lines:
        columns = np.abs(middle_d - centre) < width
        rows = ~(gaps[1 if centre > 0 else -1] if pattern == 'edge' else inside)
        if pattern == 'dashed':
            rows &= dashed
        kind[np.ix_(rows, columns)] = slot
    gutter = np.ones(len(cuts_d))
    gutter[0] = gutter[-1] = 0.8
    flat = np.zeros(len(cuts_d))
    loft(builder, layout, s, cuts_d, flat, kind, class_id('road'), _ROAD_TEXEL, gutter)


def _lines(layout: Layout, style: StreetStyle) -> list[tuple[float, float, int, str]]:
    """Return (d, half width, slot, pattern) of all lines along the road."""
    section = layout.section
    lines: list[tuple[float, float, int, str]] = []
    if style.centre == 'double':
        lines += [(s * 0.13, _LINE * 0.8, style.centre_slot, 'solid') for s in (-1, 1)]
    elif style.centre != 'none':
        lines.append((0.0, _LINE, style.centre_slot, style.centre))
    for k in range(1, section.lanes):
        lines += [(s * k * section.lane_width, _LINE, Slot.MARKING, 'dashed') for s in (-1, 1)]
    outer = section.travel()
    for side in (-1, 1):
        if section.cycle > 0:
            lines.append((side * outer, _LINE, Slot.MARKING, 'edge'))
        if section.parking_of(side) > 0 and style.edges:
            lines.append((side * (outer + section.cycle), _LINE * 0.8, Slot.MARKING, 'edge'))
        elif style.edges and section.cycle == 0 and section.parking_of(side) == 0:
            lines.append((side * (outer - 0.18), _LINE, Slot.MARKING, 'edge'))
    return lines


def _sidewalk(builder: MeshBuilder, layout: Layout, side: int, a: float, b: float) -> None:
    section = layout.section
    half = section.half(side)
    s = stations(a, b, [], 5.0)
    for e0, e1, z0, z1, slot, texel, kind in verge_strips(layout, side):
        d = np.array([half + e0, half + e1]) * side
        z = np.array([z0, z1])
        if side < 0:
            d, z = d[::-1], z[::-1]
        shade = np.where(z <= 0.0, 0.6, 1.0)
        loft(builder, layout, s, d, z, int(slot), class_id(kind), texel, shade)


def _junction(
    layout: Layout, junction: Junction, style: StreetStyle, rng: np.random.Generator
) -> Mesh:
    """Return cross streets, corners, stop lines and zebra crossings of one junction."""
    builder = MeshBuilder()
    pose = layout.frame(junction)
    zebra = rng.random() < 0.7 and (junction.lights or not layout.rural)
    for side in junction.sides:
        _cross_street(builder, layout, junction, side, style)
        for end in (-1, 1):
            _corner(builder, layout, junction, side, end)
    if zebra:
        reach = junction.reach()
        half_left, half_right = layout.section.half(1), layout.section.half(-1)
        for end in (-1, 1):
            for y in np.arange(-half_right + 0.5, half_left - 0.6, 1.0):
                x0 = end * (reach + 0.6)
                _decal(builder, sorted((x0, x0 + end * 3.0)), (y, y + 0.5), Slot.MARKING)
    for end in (-1, 1):
        # Traffic that comes along +x holds before the junction's near edge.
        low, high = sorted((0.15, layout.section.travel() - 0.1))
        y = np.array([low, high]) * end * layout.section.hand
        x = end * (junction.reach() + (4.4 if zebra else 1.0))
        _decal(builder, sorted((x, x + end * 0.35)), tuple(np.sort(y)), Slot.MARKING)
    mesh = builder.build()
    joined = MeshBuilder()
    joined.add_mesh(mesh, pose)
    return joined.build()


def _decal(
    builder: MeshBuilder, x: list[float], y: tuple[float, ...], slot: int, z: float = 0.006
) -> None:
    corners = np.array([[x[0], y[0], z], [x[1], y[0], z], [x[1], y[1], z], [x[0], y[1], z]], float)
    builder.polygon(corners, slot, uv=corners[:, :2] / 1.5, semantic=class_id('road'))


def _flat(builder: MeshBuilder, points: F64, slot: int, semantic: str, texel: float) -> None:
    area = np.sum(
        points[:, 0] * np.roll(points[:, 1], -1) - np.roll(points[:, 0], -1) * points[:, 1]
    )
    points = points if area > 0 else points[::-1]
    builder.polygon(points, slot, uv=points[:, :2] / texel, semantic=class_id(semantic))


def _cross_street(
    builder: MeshBuilder, layout: Layout, junction: Junction, side: int, style: StreetStyle
) -> None:
    half, w = layout.section.half(side), junction.half
    edges = np.linspace(half, CROSS_REACH, 9)
    for a, b in pairwise(edges):
        for x0, x1 in ((-w, -_LINE), (-_LINE, _LINE), (_LINE, w)):
            line = x0 == -_LINE and style.centre != 'none' and a > half + junction.radius
            surface = style.centre_slot if line else Slot.ASPHALT
            corners = np.array([[x0, side * a, 0], [x1, side * a, 0], [x1, side * b, 0],
                                [x0, side * b, 0]])  # fmt: skip
            _flat(builder, corners, surface, 'road', _ROAD_TEXEL)
    start = half + junction.radius
    for end in (-1, 1):
        for e0, e1, z0, z1, slot, texel, kind in verge_strips(layout, side):
            x0, x1 = end * (w + e0), end * (w + e1)
            cut = np.linspace(start, CROSS_REACH, 7)
            for a, b in pairwise(cut):
                corners = np.array([[x0, side * a, z0], [x1, side * a, z1], [x1, side * b, z1],
                                    [x0, side * b, z0]])  # fmt: skip
                if end * side < 0:
                    corners = corners[::-1]
                along = corners[:, 1:2] / texel
                across = np.abs(corners[:, 0:1] + corners[:, 2:3]) / texel
                builder.polygon(corners, slot, uv=np.concatenate([across, along], 1),
                                semantic=class_id(kind))  # fmt: skip


def _corner(builder: MeshBuilder, layout: Layout, junction: Junction, side: int, end: int) -> None:
    """Add the rounded corner of the block at (end, side): road fillet, curb and paving."""
    half, w, r = layout.section.half(side), junction.half, junction.radius
    centre = np.array([end * (w + r), side * (half + r)])
    angle = np.linspace(0, np.pi / 2, 9)
    # From the main street's edge (towards -side) to the cross street's edge (towards -end).
    ray = np.stack([-end * np.sin(angle), -side * np.cos(angle)], -1)
    arc = np.column_stack([centre + r * ray, np.zeros(9)])
    apex = np.array([end * w, side * half, 0.0])
    for p, q in pairwise(arc):
        _flat(builder, np.array([apex, p, q]), Slot.ASPHALT, 'road', _ROAD_TEXEL)
    for e0, e1, z0, z1, slot, texel, kind in verge_strips(layout, side):
        rows = np.array([
            np.column_stack([centre + (r - e) * ray, np.full(9, z)])
            for e, z in ((e0, z0), (e1, z1))
        ])  # fmt: skip
        faces = grid_faces(2, 9)
        if end * side > 0:
            faces = faces[:, ::-1]
        uv = np.stack(np.broadcast_arrays(np.array([[e0], [e1]]) / texel + 0.0,
                                          angle * r / texel), -1)  # fmt: skip
        shade = np.where(rows[..., 2] <= 0.0, 0.6, 1.0).ravel()
        builder.add(rows.reshape(-1, 3), faces, slot, uv=uv, semantic=class_id(kind),
                    occlusion=shade)  # fmt: skip


def _lots(layout: Layout, rng: np.random.Generator) -> Mesh:
    """Return the surfaces of the blocks behind the sidewalks."""
    builder = MeshBuilder()
    section = layout.section
    paved = {'centre': 0.8, 'industrial': 0.7, 'residential': 0.35,
             'rural': 0.0}.get(layout.land_use, 0.05)  # fmt: skip
    for side in (-1, 1):
        clear = [j.half + section.sidewalk for j in layout.junctions if side in j.sides]
        edges = [layout.start]
        members = [j for j in layout.junctions if side in j.sides]
        for j, c in zip(members, clear, strict=True):
            edges += [j.s - c, j.s + c]
        edges.append(layout.end)
        for a, b in zip(edges[0::2], edges[1::2], strict=True):
            if b - a < 0.5:
                continue
            if rng.random() < paved:
                slot, name, texel = Slot.LOT, 'sidewalk', 3.0
            else:
                slot, name, texel = Slot.GRASS, 'terrain', 4.0
            inner = section.half(side) + section.sidewalk - 0.05
            d = np.array([inner, inner + 6, inner + 20, inner + LOT_DEPTH]) * side
            z = np.full(4, CURB_HEIGHT + 0.005)
            d = d if side > 0 else d[::-1]
            s = stations(a, b, [], 10.0)
            loft(builder, layout, s, d, z, int(slot), class_id(name), texel)
    return builder.build()


def _land(layout: Layout, rng: np.random.Generator) -> Mesh:
    """Return the open land with hills around the whole scene."""
    builder = MeshBuilder()
    x, y = layout.place(np.linspace(layout.start, layout.end, 9), 0.0)
    cx, cy = float(x.mean()), float(y.mean())
    radius = max(float(np.hypot(x - cx, y - cy).max()) + 110, 200.0)
    rings = radius * np.array([0.0, 0.7, 1.0, 1.3, 1.7, 2.3, 3.2])
    segments = 48
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    relief = np.zeros(segments + 1)
    for k in range(1, 7):
        relief += rng.normal() / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    height = np.clip(0.5 + 0.35 * relief, 0.05, None) * float(rng.uniform(6, 28))
    if layout.rural:
        height *= 1.8
    rise = np.array([0.0, 0.0, 0.0, 0.35, 0.8, 1.0, 0.6])
    z = -0.25 + rise[:, None] * height[None] * (radius / 300)
    z[:, -1] = z[:, 0]
    px, py = cx + rings[:, None] * np.cos(angle), cy + rings[:, None] * np.sin(angle)
    vertices = np.stack([px, py, z], -1).reshape(-1, 3)
    faces = grid_faces(len(rings), segments + 1)[:, ::-1]
    uv = vertices[:, :2] / 7.0
    if not layout.rural:
        builder.add(vertices, faces, Slot.GRASS, uv=uv, semantic=class_id('terrain'))
        return builder.build()
    # Hills of open country are wooded here and there.
    sector = np.tile(np.repeat(relief[:-1] > float(rng.uniform(-1.0, 0.6)), 2), len(rings) - 1)
    wooded = sector & (np.arange(len(faces)) >= 3 * 2 * segments)
    for rows, slot, name in ((~wooded, Slot.GRASS, 'terrain'), (wooded, Slot.HEDGE, 'vegetation')):
        if rows.any():
            builder.add(vertices, faces[rows], slot, uv=uv, semantic=class_id(name))
    builder.add_mesh(tree_line((cx, cy), 0.96 * radius, rng))
    return builder.build()
