# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""From what beams meet to returns: power, detection, clutter, second returns."""

from __future__ import annotations

import math

import numpy as np

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.noise import normal, uniform

#: Share of a beam's cross-section beyond an edge that it meets half-way.
_BEYOND = 0.4
#: Dry share of the diffuse return that a film of water leaves (asphalt at 905 nm).
_SOAKED = 0.35
_WATER = 0.02
#: What a clean pane scatters, as a share of what its material says; how much more it returns
#: where a beam meets it squarely, and the exponent that keeps this to two degrees or so.
_SMEARS, _SQUARE, _POLISH = 0.1, 10.0, 2000
#: Most things that one beam can meet: surface, what lies behind, beside an edge, a drop.
_MEETINGS = 4


@inlined
def slot(column, ring, columns, rings):
    """Return a ray's place in tracing order: packets are tiles of 4 columns and 2 rings."""
    left = column // 4 * 4
    top = ring // 2 * 2
    width = min(4, columns - left)
    return left * rings + top * width + (ring - top) * width + column - left


@inlined
def mirrored_share(cosine):
    """Return the share of light that water mirrors (Schlick's approximation)."""
    return _WATER + (1.0 - _WATER) * (1.0 - cosine) ** 5


@inlined
def _echo(ray, direction, reach, instance, face, surfaces, fog, limit):
    """Return power, intensity, cosine and material of what a ray has met after ``reach``."""
    instance_pose, face_normal, face_start, mesh_of, material, reflectance = surfaces
    k = instance[ray]
    f = face_start[mesh_of[k]] + face[ray]
    # The beam in the mesh's frame, where the face's normal is known.
    dx, dy, dz = direction[ray, 0], direction[ray, 1], direction[ray, 2]
    n0, n1, n2 = face_normal[f, 0], face_normal[f, 1], face_normal[f, 2]
    turn = instance_pose[k]
    cosine = abs(
        n0 * (turn[0, 0] * dx + turn[1, 0] * dy + turn[2, 0] * dz)
        + n1 * (turn[0, 1] * dx + turn[1, 1] * dy + turn[2, 1] * dz)
        + n2 * (turn[0, 2] * dx + turn[1, 2] * dy + turn[2, 2] * dz)
    )
    m = material[f]
    air = math.exp(-2.0 * fog * reach) if fog > 0.0 else 1.0
    # Rough surfaces return more than Lambert's law says at grazing incidence.
    power = (reflectance[m, 0] * math.sqrt(cosine) + 4.0 * reflectance[m, 1]) * air
    strength = (
        reflectance[m, 0] * (0.3 + 0.7 * cosine) / (1.0 + reach * reach / 14400.0)
        + 0.9 * reflectance[m, 1] * cosine
    ) * air
    power = power * limit * limit / max(reach * reach, 1e-6)
    return power, strength, cosine, m


@inlined
def _detected(power, place, dropout):
    """Return whether a return is strong enough to be found."""
    # Strong returns are certain; spare them the exponential.
    chance = 1.0 if power > 4.0 else 1.0 - math.exp(-6.931 * power)
    return uniform(place) < chance * (1.0 - dropout)


@inlined
def _noisy(reach, strength, range_noise, place, table, found):
    """Write a return with its noise."""
    reach += range_noise * normal(place + np.uint32(4), table)
    strength *= 1.0 + 0.05 * normal(place + np.uint32(5), table)
    found[0] = max(reach, 1e-3)
    found[1] = min(max(strength, 0.0), 1.0)


@kernel
def _clutter(fog, rain):
    """Return the share of beams that droplets send back: haze next to nothing, thick fog a lot."""
    return min(0.3, 0.012 * rain + 60.0 * fog * fog)


@inlined
def _drop(low, place):
    """Return range and intensity of a drop in front of the surface."""
    return (
        low - 5.0 * math.log(1.0 - uniform(place + np.uint32(2))),
        0.02 + 0.05 * uniform(place + np.uint32(3)),
    )


@kernel
def measure_first(
    first, last, columns, rings, hits, surfaces, sensor, weather, body, seed, table, found
):
    """Turn hits of columns [first, last) into range and intensity; range 0 is no return.

    ``hits`` are (directions, distance, instance, face) in tracing order, ``body`` the (rays, 3)
    range, power and intensity of the vehicle's own body, empty without one.
    """
    low, high, range_noise, dropout, limit = sensor
    fog, rain = weather
    clutter = _clutter(fog, rain)
    directions, distance, instance, face = hits
    for column in range(first, last):
        for ring in range(rings):
            i = column * rings + ring
            found[i, 0, 0] = found[i, 0, 1] = 0.0
            place = np.uint32(i * 8) ^ seed
            reach, strength, power = np.inf, 0.0, 0.0
            hit = slot(column, ring, columns, rings)
            if instance[hit] >= 0:
                reach = distance[hit]
                power, strength, _, _ = _echo(
                    hit, directions, reach, instance, face, surfaces, fog, limit
                )
            if len(body) > 0 and body[i, 0] < reach:
                reach, power, strength = body[i, 0], body[i, 1], body[i, 2]
            if not _detected(power, place, dropout):
                reach = np.inf
            if clutter > 0.0 and uniform(place + np.uint32(1)) < clutter:
                near, faint = _drop(low, place)
                if near < reach:
                    reach, strength = near, faint
            if low <= reach <= high:
                _noisy(reach, strength, range_noise, place, table, found[i, 0])


@kernel
def _pick(echoes, count, low, high, separation, wanted, chosen):
    """Choose the strongest separate returns; write their rows in order of range.

    Returns how many there are.
    """
    kept = 0
    for _ in range(wanted):
        best = -1
        for e in range(count):
            if not (low <= echoes[e, 0] <= high):
                continue
            apart = True
            for k in range(kept):
                if abs(echoes[e, 0] - echoes[chosen[k], 0]) < separation:
                    apart = False
            if apart and (best < 0 or echoes[e, 1] > echoes[best, 1]):
                best = e
        if best < 0:
            break
        chosen[kept] = best
        kept += 1
    if kept == 2 and echoes[chosen[1], 0] < echoes[chosen[0], 0]:
        chosen[0], chosen[1] = chosen[1], chosen[0]
    return kept


@kernel
def _same_surface(a, b, instance, face, rim_instance, rim_face, surfaces):
    """Return whether two rays meet one object's faces that look the same way."""
    normals, start, mesh_of = surfaces[1], surfaces[2], surfaces[3]
    if instance[a] != rim_instance[b]:
        return False
    first = start[mesh_of[instance[a]]]
    f, g = first + face[a], first + rim_face[b]
    dot = 0.0
    for axis in range(3):
        dot += normals[f, axis] * normals[g, axis]
    return abs(dot) > 0.98


@kernel
def _meet(
    hit, own, hits, surfaces, through, wet, leg_of, legs, beside, separation, fog, limit, echoes
):
    """Write range, power and intensity of all that a beam meets; return how much it is."""
    directions, distance, instance, face = hits
    count, reach = 0, np.inf
    if instance[hit] >= 0:
        reach = distance[hit]
        power, strength, cosine, m = _echo(
            hit, directions, reach, instance, face, surfaces, fog, limit
        )
        kept = 1.0 - wet[m] * (1.0 - _SOAKED * (1.0 - mirrored_share(cosine)) ** 2)
        if through[m] > 0.0:
            kept = _SMEARS + _SQUARE * cosine**_POLISH
        echoes[0, 0], echoes[0, 1], echoes[0, 2] = reach, power * kept, strength * kept
        count = 1
    if len(own) > 0 and own[0] < reach:
        echoes[0] = own
        return 1
    if leg_of[hit] >= 0:
        row = leg_of[hit]
        leg_directions, leg_distance, leg_instance, leg_face, before, share = legs
        if leg_instance[row] >= 0:
            total = before[row] + leg_distance[row]
            power, strength, _, _ = _echo(
                row, leg_directions, total, leg_instance, leg_face, surfaces, fog, limit
            )
            echoes[count, 0] = total
            echoes[count, 1], echoes[count, 2] = power * share[row], strength * share[row]
            count += 1
    rim_directions, rim_distance, rim_instance, rim_face = beside
    if len(rim_distance) > 0 and rim_instance[hit] >= 0:
        other = rim_distance[hit]
        power, strength, _, _ = _echo(
            hit, rim_directions, other, rim_instance, rim_face, surfaces, fog, limit
        )
        if abs(other - reach) > separation and not (
            instance[hit] >= 0
            and _same_surface(hit, hit, instance, face, rim_instance, rim_face, surfaces)
        ):
            for e in range(count):
                echoes[e, 1] *= 1.0 - _BEYOND
                echoes[e, 2] *= 1.0 - _BEYOND
            echoes[count, 0] = other
            echoes[count, 1], echoes[count, 2] = power * _BEYOND, strength * _BEYOND
            count += 1
    return count


@kernel
def measure_all(
    first, last, columns, rings, hits, surfaces, through, wet, sensor, weather, separation, body,
    leg_of, legs, beside, seed, table, found,
):  # fmt: skip
    """As ``measure_first``, with what lies behind panes, in puddles and beside edges.

    ``through`` and ``wet`` are per material the share of light that passes and how wet it is.
    ``legs`` are hits of rays that went on, the way before them and the share of power that comes
    back; ``leg_of`` is each ray's row there or -1. ``beside`` are hits of the beams' rims, empty
    for single returns.
    """
    low, high, range_noise, dropout, limit = sensor
    fog, rain = weather
    clutter = _clutter(fog, rain)
    echoes, chosen = np.empty((_MEETINGS, 3)), np.empty(2, np.int64)
    for column in range(first, last):
        for ring in range(rings):
            i = column * rings + ring
            found[i] = 0.0
            place = np.uint32(i * 8) ^ seed
            hit = slot(column, ring, columns, rings)
            own = body[i] if len(body) > 0 else echoes[0, :0]
            count = _meet(
                hit, own, hits, surfaces, through, wet, leg_of, legs, beside, separation, fog,
                limit, echoes,
            )  # fmt: skip
            nearest = np.inf
            for e in range(count):
                nearest = min(nearest, echoes[e, 0])
                if not _detected(echoes[e, 1], place + np.uint32(e * 0x9E3779), dropout):
                    echoes[e, 0] = np.inf
            if clutter > 0.0 and uniform(place + np.uint32(1)) < clutter:
                near, faint = _drop(low, place)
                if near < nearest:
                    # What a drop sends back is weak, but so near that it always counts.
                    echoes[count, 0], echoes[count, 1], echoes[count, 2] = near, np.inf, faint
                    count += 1
            kept = _pick(echoes, count, low, high, separation, found.shape[1], chosen)
            for r in range(kept):
                e = chosen[r]
                mark = place + np.uint32(r * 0x51ED27)
                _noisy(echoes[e, 0], echoes[e, 2], range_noise, mark, table, found[i, r])
