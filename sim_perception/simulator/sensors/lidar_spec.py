"""What a LiDAR is: where and when its beams go, and how well it measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_perception.simulator.common.scene import F64, I32


@dataclass(frozen=True)
class LidarSpec:
    """A LiDAR; the defaults are those of a spinning 64-beam roof sensor.

    Attributes:
        rings: beams, ring 0 is the highest.
        columns: firings per turn.
        rate_hz: turns per second.
        fov_up_deg, fov_down_deg: elevation of the first and last ring; the others are evenly
            spread between them.
        elevation_deg: (rings,) elevations from the top where they are not evenly spread.
        azimuth_offset_deg: (rings,) how far clockwise of its column each beam points; empty where
            all point along it.
        azimuth_start_deg: where a turn starts, from x towards y; it goes clockwise seen from
            above, so that by default the front is reached half-way.
        azimuth_span_deg: how far a turn goes; a full one by default.
        channels: 0 for a spinning sensor, which fires column by column. Else mirrors scan line
            by line to and fro, by so many channels side by side at a time.
        min_range, max_range: metres.
        range_noise: standard deviation along the beam, metres.
        dropout: share of returns lost for no reason.
        reference_range: where a dark target (reflectance 0.1) at right angles is detected half
            of the time, metres; weaker returns are lost more often. Infinite for an ideal sensor.
        dual: whether a beam reports two returns where it meets two things.
        divergence_deg: full angle of the beam; what lies within it can give the second return.
        separation: how far apart two returns must be to be told apart, metres.
        glass: share of the light that a clear pane lets through; 0 makes panes walls.
        wet: how far water on the road takes returns away and mirrors beams, 0 to 1.
    """

    rings: int = 64
    columns: int = 1024
    rate_hz: float = 10.0
    fov_up_deg: float = 3.0
    fov_down_deg: float = -25.0
    elevation_deg: tuple[float, ...] = ()
    azimuth_offset_deg: tuple[float, ...] = ()
    azimuth_start_deg: float = 180.0
    azimuth_span_deg: float = 360.0
    channels: int = 0
    min_range: float = 1.0
    max_range: float = 120.0
    range_noise: float = 0.02
    dropout: float = 0.01
    reference_range: float = 90.0
    dual: bool = False
    divergence_deg: float = 0.1
    separation: float = 1.0
    glass: float = 0.0
    wet: float = 0.0

    def __post_init__(self) -> None:
        if self.rings < 1 or self.columns < 1:
            raise ValueError(f'a LiDAR needs rings and columns, got {self.rings}x{self.columns}')
        if self.rings > 65535:
            raise ValueError(f'at most 65535 rings fit the ring column, got {self.rings}')
        if not self.rate_hz > 0:
            raise ValueError(f'rate_hz must be positive, got {self.rate_hz}')
        if not 0 <= self.min_range < self.max_range:
            raise ValueError(
                f'ranges must satisfy 0 <= min_range < max_range, got {self.min_range} and '
                f'{self.max_range}'
            )
        if not -90 <= self.fov_down_deg <= self.fov_up_deg <= 90:
            raise ValueError(
                'elevations must satisfy -90 <= fov_down_deg <= fov_up_deg <= 90, got '
                f'{self.fov_down_deg} and {self.fov_up_deg}'
            )
        for name in ('elevation_deg', 'azimuth_offset_deg'):
            if len(getattr(self, name)) not in (0, self.rings):
                raise ValueError(f'{name} needs one angle for each of the {self.rings} rings')
        if self.channels and self.columns % self.channels:
            raise ValueError(f'{self.channels} channels must divide the {self.columns} columns')
        if self.range_noise < 0 or not 0 <= self.dropout <= 1 or not self.reference_range > 0:
            raise ValueError('range_noise, dropout or reference_range is out of range')
        if not (0 <= self.glass <= 1 and 0 <= self.wet <= 1):
            raise ValueError(f'glass and wet lie within 0 and 1, got {self.glass}, {self.wet}')

    @property
    def simple(self) -> bool:
        """Whether a beam ends at the first surface that it meets."""
        return not (self.dual or self.glass or self.wet)

    def directions(self) -> F64:
        """Return (columns, rings, 3) unit beam directions in the LiDAR's frame."""
        elevation = np.deg2rad(
            self.elevation_deg or np.linspace(self.fov_up_deg, self.fov_down_deg, self.rings)
        )
        span = 2 * np.pi if self.azimuth_span_deg == 360 else np.deg2rad(self.azimuth_span_deg)
        turn = span * np.arange(self.columns) / self.columns
        azimuth = (np.deg2rad(self.azimuth_start_deg) - turn)[:, None]
        if self.azimuth_offset_deg:
            azimuth = azimuth - np.deg2rad(self.azimuth_offset_deg)
        shape = (self.columns, self.rings)
        return np.stack(
            [
                np.cos(azimuth) * np.cos(elevation),
                np.sin(azimuth) * np.cos(elevation),
                np.broadcast_to(np.sin(elevation), shape),
            ],
            -1,
        )

    @property
    def _firings(self) -> int:
        """How many beams or groups of beams are fired one after the other."""
        return self.rings * self.columns // self.channels if self.channels else self.columns

    def times(self) -> F64:
        """Return (firings,) seconds after the scan's start."""
        return np.arange(self._firings) / self._firings / self.rate_hz

    def firings(self) -> I32:
        """Return (columns, rings) the number of the firing that each beam belongs to."""
        column = np.arange(self.columns)[:, None]
        ring = np.arange(self.rings)
        if not self.channels:
            return np.ascontiguousarray(
                np.broadcast_to(column, (self.columns, self.rings)), np.int32
            )
        width = self.columns // self.channels
        place = column % width
        swept = np.where(ring % 2 == 0, place, width - 1 - place)
        return (ring * width + swept).astype(np.int32)
