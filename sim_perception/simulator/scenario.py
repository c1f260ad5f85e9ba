"""Scenarios: YAML + seed, validated. A number may be a value or a ``[low, high]`` range.

Ranges are drawn once per scene from the seed, so one file describes a whole distribution
of scenes. Every field names its allowed bounds; a wrong value is refused with the field's
name, the value and the bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from sim_perception.files import FileError, read_yaml, safe_name
from sim_perception.resources import share_path
from sim_perception.simulator.drive import DriveError, drive_digest
from sim_perception.simulator.own_mesh import OwnMesh, located_meshes
from sim_perception.simulator.rig import (
    SensorMount,
    Stream,
    check_rig,
    located_files,
    stream_of,
)
from sim_perception.suggestions import unknown, unknown_key

Span = tuple[float, float]
Season = Literal['spring', 'summer', 'autumn', 'winter']
Population = Literal['generic', 'european', 'american', 'asian']
LidarName = Literal[
    'generic', 'hdl_64e', 'vlp_16', 'vlp_32c', 'os1_64', 'os1_128', 'pandar_64', 'rs_m1'
]
LandUse = Literal['centre', 'residential', 'suburb', 'industrial', 'park', 'rural']


class ScenarioError(ValueError):
    """A scenario that cannot be used; the message names field, value and allowed range."""


class _Bounds:
    """Validates ``x`` or ``[low, high]`` within bounds and returns (low, high)."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, value: object) -> Span:
        pair = value if isinstance(value, list | tuple) else (value, value)
        if len(pair) != 2 or any(isinstance(x, bool) or not isinstance(x, int | float)
                                 for x in pair):  # fmt: skip
            raise ValueError('expected a number or [low, high]')
        low, high = float(pair[0]), float(pair[1])
        if not (self.low <= low <= self.high and self.low <= high <= self.high):
            raise ValueError(f'must lie within {self.low:g} and {self.high:g}')
        if low > high:
            raise ValueError('the first number of a range must not exceed the second')
        return low, high


def _names(value: object) -> object:
    pair = value if isinstance(value, list | tuple) else (value,)
    return tuple(str(name) for name in pair)


def _choices(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class _Model(BaseModel):
    model_config = ConfigDict(extra='forbid', frozen=True, validate_default=True)


class Street(_Model):
    """Layout of the street and what stands beside it."""

    land_use: Annotated[tuple[LandUse, ...], BeforeValidator(_choices), Field(min_length=1)] = (
        'centre', 'residential', 'suburb')  # fmt: skip
    curviness: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.6)
    lanes_per_direction: Annotated[Span, BeforeValidator(_Bounds(1, 3))] = (1, 1.7)
    lane_width_m: Annotated[Span, BeforeValidator(_Bounds(2.6, 4.5))] = (3.0, 3.6)
    sidewalk_width_m: Annotated[Span, BeforeValidator(_Bounds(1.2, 8))] = (2.0, 4.5)
    setback_m: Annotated[Span, BeforeValidator(_Bounds(0, 30))] = (0.3, 6.0)
    junction_spacing_m: Annotated[Span, BeforeValidator(_Bounds(40, 2000))] = (70, 140)
    left_hand: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    parking: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.8, 0.8)
    building_density: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.7, 1.0)
    tree_spacing_m: Annotated[Span, BeforeValidator(_Bounds(3, 200))] = (8, 20)
    furniture_density: Annotated[Span, BeforeValidator(_Bounds(0, 3))] = (0.7, 1.3)
    billboard_density: Annotated[Span, BeforeValidator(_Bounds(0, 3))] = (0.6, 1.2)


class Roadside(_Model):
    """What stands tall and close to the road; nothing by default.

    ``frontage`` is the share of the sidewalks' backs that walls, hedges, board fences, retaining
    walls and garages line; ``shops`` that of the town blocks at the sidewalk with shops on their
    ground floor, ``posters`` that of the others with bills.
    """

    frontage: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    frontage_height_m: Annotated[Span, BeforeValidator(_Bounds(0.5, 8))] = (1.2, 3.0)
    bridges_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 40))] = (0.0, 0.0)
    scaffolds_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 100))] = (0.0, 0.0)
    bins_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 400))] = (0.0, 0.0)
    shops: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    posters: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)


class Relief(_Model):
    """How the ground rises and falls; flat by default.

    ``slope_percent`` is the steepest grade along the street, ``crest_spacing_m`` the distance of
    crests, ``bank_percent`` the crossfall of the road in bends, to their inside.
    """

    slope_percent: Annotated[Span, BeforeValidator(_Bounds(0, 15))] = (0.0, 0.0)
    crest_spacing_m: Annotated[Span, BeforeValidator(_Bounds(60, 2000))] = (120.0, 500.0)
    bank_percent: Annotated[Span, BeforeValidator(_Bounds(0, 10))] = (0.0, 0.0)
    bumps_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 40))] = (0.0, 0.0)
    bump_height_m: Annotated[Span, BeforeValidator(_Bounds(0.02, 0.15))] = (0.05, 0.1)


class Ground(_Model):
    """What the road and its edges are made of, beyond plain asphalt between equal curbs.

    ``lowered_curbs`` is the share of pedestrians' crossings whose curb is lowered, ``lawn_strips``
    and ``gravel`` the chance of a side to have grass between curb and pavement or a path of
    gravel, ``tram`` that of rails in the road. Of ``crossings_per_km`` those that are raised need
    room between junctions. ``worn_paint`` is the chance that markings have partly worn away,
    ``fine_asphalt`` that the road's asphalt is dark and even.
    """

    curb_height_m: Annotated[Span, BeforeValidator(_Bounds(0, 0.2))] = (0.13, 0.13)
    lowered_curbs: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    lawn_strips: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    gravel: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    tram: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    crossings_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 30))] = (0.0, 0.0)
    arrows: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    patches_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 300))] = (0.0, 0.0)
    seams_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 300))] = (0.0, 0.0)
    covers_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 200))] = (0.0, 0.0)
    puddles_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 200))] = (0.0, 0.0)
    worn_paint: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    fine_asphalt: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)


class Traffic(_Model):
    """Who is on the road; ``population`` says of which region the cars are, drawn per scene.

    With ``signals`` lamps work: traffic lights switch, vehicles brake and indicate visibly, and
    the truth tells what is lit. ``light_cycle_s`` is how long a traffic light's phases take
    together; ``stops_per_km`` how often a vehicle halts for a moment on its way, and those behind
    with it; ``lane_changes`` the share of vehicles that change lanes where a direction has
    several; ``parking_per_km`` how many vehicles pull into or out of a parking place.

    ``lorry_fraction`` is the share of trucks that are lorries of all kinds, articulated ones and
    buses with a joint; ``trailer_fraction`` that of cars which tow something,
    ``roof_load_fraction`` of those with something on the roof, ``lettering`` of vans and lorries
    with a print on their sides. Boxes reach to the mirrors with ``mirrors_in_boxes``; those of
    data sets end at the body, .2 m narrower.

    ``opening_doors`` is the share of parked cars whose driver opens the door to the road, as wide
    as who comes by leaves room. The door is the car's in all images and image boxes; the 3D box
    stays the closed car's, its size does not change.

    ``dull_paint`` is the share of cars whose paint is white, silver, grey or black, whatever was
    drawn; ``lamp_shade`` how bright the glass of unlit rear lamps is, real ones about .4.
    """

    population: Annotated[
        tuple[Population, ...], BeforeValidator(_choices), Field(min_length=1)
    ] = ('generic',)

    vehicles_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 120))] = (25, 45)
    speed_kmh: Annotated[Span, BeforeValidator(_Bounds(5, 130))] = (30, 50)
    truck_fraction: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.05, 0.2)
    parked_density: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.4, 0.8)
    parked_truck_fraction: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.1, 0.25)
    pedestrians_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 600))] = (60, 140)
    crossing_fraction: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.2, 0.4)
    cyclists_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 100))] = (10, 25)
    turning_fraction: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.1, 0.3)
    signals: bool = False
    light_cycle_s: Annotated[Span, BeforeValidator(_Bounds(24, 180))] = (32.0, 32.0)
    lorry_fraction: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    trailer_fraction: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    roof_load_fraction: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    lettering: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    mirrors_in_boxes: bool = True
    stops_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 60))] = (0.0, 0.0)
    lane_changes: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    parking_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 60))] = (0.0, 0.0)
    opening_doors: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    dull_paint: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    lamp_shade: Annotated[Span, BeforeValidator(_Bounds(0.1, 1))] = (1.0, 1.0)


class People(_Model):
    """How varied people are and who stays on the sidewalks; plain walkers alone by default.

    ``individuals`` is how many different people a scene has, ``carrying`` the share of walkers
    with a bag, a phone, an umbrella, a pram or the like, ``grouped`` the share that walk with
    others. Groups that stand, seats (benches, low walls) and café terraces come per kilometre.
    """

    individuals: Annotated[Span, BeforeValidator(_Bounds(1, 80))] = (10, 10)
    carrying: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    grouped: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    standing_groups_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 200))] = (0.0, 0.0)
    seated_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 200))] = (0.0, 0.0)
    terraces_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 100))] = (0.0, 0.0)


class Cycles(_Model):
    """Bicycles and motorcycles.

    ``variety`` is the share of cyclists on other bicycles and in other postures than the plain
    one, ``motorbike_fraction`` the share of motorcycles and scooters among moving vehicles,
    ``parked_per_km`` counts single parked ones, racks and rows that lean on walls.
    """

    variety: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    motorbike_fraction: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    parked_per_km: Annotated[Span, BeforeValidator(_Bounds(0, 300))] = (0.0, 0.0)


class Ego(_Model):
    """The vehicle that carries the sensors.

    It dives when it brakes, leans outwards in bends and shakes on the road (standard deviation at
    10 m/s); where any of these is not 0, springs and dampers also soften what the ground does.

    ``queue`` is the chance that it begins in a queue at a red light: ``queue_vehicles`` stand
    ahead of it, ``queue_gap_m`` apart, until the light turns green after ``queue_wait_s``.
    ``turn`` is the chance that it turns at a junction near its beginning, off or onto the main
    street; who queues only turns off.
    """

    speed_kmh: Annotated[Span, BeforeValidator(_Bounds(0, 130))] = (30, 45)
    queue: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    queue_vehicles: Annotated[Span, BeforeValidator(_Bounds(0, 12))] = (1, 5)
    queue_gap_m: Annotated[Span, BeforeValidator(_Bounds(0.5, 12))] = (1.0, 5.0)
    queue_wait_s: Annotated[Span, BeforeValidator(_Bounds(0, 120))] = (3.0, 15.0)
    turn: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    dive_deg_per_g: Annotated[Span, BeforeValidator(_Bounds(0, 8))] = (0.0, 0.0)
    lean_deg_per_g: Annotated[Span, BeforeValidator(_Bounds(0, 12))] = (0.0, 0.0)
    shake_deg: Annotated[Span, BeforeValidator(_Bounds(0, 2))] = (0.0, 0.0)


class Weather(_Model):
    """Light and air; ``headlights`` is the strength of the ego's own, 1 as cars have them."""

    sun_elevation_deg: Annotated[Span, BeforeValidator(_Bounds(-12, 85))] = (20, 60)
    sun_azimuth_deg: Annotated[Span, BeforeValidator(_Bounds(-360, 360))] = (0, 360)
    cloud_cover: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.1, 0.6)
    fog_density: Annotated[Span, BeforeValidator(_Bounds(0, 0.1))] = (0.0005, 0.003)
    wetness: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    rain: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    headlights: Annotated[Span, BeforeValidator(_Bounds(0, 3))] = (0.0, 0.0)
    season: Annotated[tuple[Season, ...], BeforeValidator(_choices), Field(min_length=1)] = (
        'summer',)  # fmt: skip


class CameraMount(_Model):
    """The camera's intrinsics, its place on the vehicle and what it does to light.

    ``centre_offset`` is how far the principal point lies right of and below the image's middle,
    shares of width and height.

    From ``exposure_ms`` on, effects of a real camera on the image, all off by default and none
    of them in the labels: see docs/sensors.md. ``bayer`` is the chance that noise comes before
    demosaicing; it is as strong in the image as without.
    """

    width: Annotated[int, Field(ge=16, le=8192)] = 640
    height: Annotated[int, Field(ge=16, le=8192)] = 192
    horizontal_fov_deg: Annotated[Span, BeforeValidator(_Bounds(10, 150))] = (81.4, 81.4)
    forward_m: Annotated[Span, BeforeValidator(_Bounds(-3, 5))] = (0.3, 0.3)
    left_m: Annotated[Span, BeforeValidator(_Bounds(-3, 3))] = (0.0, 0.0)
    height_m: Annotated[Span, BeforeValidator(_Bounds(0.3, 5))] = (1.65, 1.65)
    pitch_deg: Annotated[Span, BeforeValidator(_Bounds(-30, 30))] = (0.0, 0.0)
    roll_deg: Annotated[Span, BeforeValidator(_Bounds(-15, 15))] = (0.0, 0.0)
    yaw_deg: Annotated[Span, BeforeValidator(_Bounds(-180, 180))] = (0.0, 0.0)
    centre_offset: tuple[
        Annotated[float, Field(ge=-0.5, le=0.5)], Annotated[float, Field(ge=-0.5, le=0.5)]
    ] = (0.0, 0.0)
    distortion: Annotated[tuple[float, ...], Field(max_length=5)] = ()
    exposure: Annotated[Span, BeforeValidator(_Bounds(0.05, 10))] = (0.65, 0.85)
    white_balance: Annotated[Span, BeforeValidator(_Bounds(0, 0.5))] = (0.0, 0.0)
    contrast: Annotated[Span, BeforeValidator(_Bounds(0.3, 2))] = (1.0, 1.0)
    saturation: Annotated[Span, BeforeValidator(_Bounds(0, 2))] = (1.0, 1.0)
    vignetting: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    blur_px: Annotated[Span, BeforeValidator(_Bounds(0, 5))] = (0.0, 0.0)
    shot_noise: Annotated[Span, BeforeValidator(_Bounds(0, 0.3))] = (0.0, 0.0)
    read_noise: Annotated[Span, BeforeValidator(_Bounds(0, 0.3))] = (0.0, 0.0)
    jpeg_quality: Annotated[Span, BeforeValidator(_Bounds(0, 100))] = (0.0, 0.0)
    supersampling: Literal[1, 2] = 1
    exposure_ms: Annotated[Span, BeforeValidator(_Bounds(0, 50))] = (0.0, 0.0)
    readout_ms: Annotated[Span, BeforeValidator(_Bounds(0, 66))] = (0.0, 0.0)
    bloom: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    flare: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    dirt: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    drops: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    auto_exposure: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    metering_s: Annotated[Span, BeforeValidator(_Bounds(0, 5))] = (0.5, 0.5)
    bayer: Annotated[Span, BeforeValidator(_Bounds(0, 1))] = (0.0, 0.0)
    sharpening: Annotated[Span, BeforeValidator(_Bounds(0, 3))] = (0.0, 0.0)


class LidarMount(_Model):
    """The LiDAR's beams and its place on the vehicle.

    ``model`` names a product (drawn per scene where several are named), which fixes rings and
    elevations; ``columns``, ``max_range_m`` and ``range_noise_m`` replace its own where they
    differ from their defaults. ``returns: dual`` adds the second return of a beam and a
    ``return`` field to points. ``glass`` is the share of light that passes a pane (0: panes are
    walls), ``wet_road`` how far water on the road swallows and mirrors beams, ``ego_body`` whether
    the vehicle's own body is in their way (no camera sees it).
    """

    model: Annotated[tuple[LidarName, ...], BeforeValidator(_choices), Field(min_length=1)] = (
        'generic',)  # fmt: skip
    rings: Annotated[int, Field(ge=1, le=256)] = 64
    columns: Annotated[int, Field(ge=16, le=8192)] = 1024
    rate_hz: Annotated[float, Field(ge=1, le=50)] = 10.0
    fov_up_deg: Annotated[float, Field(ge=-45, le=60)] = 3.0
    fov_down_deg: Annotated[float, Field(ge=-80, le=45)] = -24.8
    max_range_m: Annotated[float, Field(ge=5, le=500)] = 120.0
    range_noise_m: Annotated[float, Field(ge=0, le=1)] = 0.02
    forward_m: Annotated[float, Field(ge=-3, le=5)] = 0.0
    height_m: Annotated[float, Field(ge=0.3, le=5)] = 1.75
    returns: Literal['single', 'dual'] = 'single'
    glass: Annotated[float, Field(ge=0, le=1)] = 0.0
    wet_road: Annotated[float, Field(ge=0, le=1)] = 0.0
    ego_body: bool = False

    @model_validator(mode='after')
    def _check_model(self) -> LidarMount:
        fixed = [name for name in ('rings', 'fov_up_deg', 'fov_down_deg') if self.sets(name)]
        if self.model != ('generic',) and fixed:
            raise ValueError(f'model decides {", ".join(fixed)}: leave out the one or the other')
        return self

    def sets(self, name: str) -> bool:
        """Whether a field has another value than its default."""
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    @model_serializer(mode='wrap')
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out unused fields that older scenarios lack."""
        later = ('model', 'returns', 'glass', 'wet_road', 'ego_body')
        unused = {name for name in later if not self.sets(name)}
        return {name: value for name, value in handler(self).items() if name not in unused}


class Randomisation(_Model):
    """How far appearances stray from the domain's own, 0 to 1."""

    color: Annotated[float, Field(ge=0, le=1)] = 0.5
    texture: Annotated[float, Field(ge=0, le=1)] = 0.5
    shape: Annotated[float, Field(ge=0, le=1)] = 1.0


class AddedVehicle(_Model):
    """A vehicle beside those of a replayed drive; places are relative to the ego's start."""

    family: str = 'sedan'
    ahead_m: float = 20.0
    left_m: float = 0.0
    yaw_deg: float = 0.0
    speed_mps: Annotated[float, Field(ge=-60, le=60)] = 0.0
    color: tuple[float, float, float] | None = None


class Replay(_Model):
    """A recorded drive that takes the place of street, traffic and ego.

    ``drive`` is a folder written by ``python -m training resimulate``, relative to the scenario's
    file; ``without`` are ids of its objects that are left out (``'*'``: all).
    """

    drive: Annotated[str, Field(min_length=1)]
    digest: str = ''
    without: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    vehicles: tuple[AddedVehicle, ...] = ()


_LATER_FIELDS = {
    'roadside': ('shops', 'posters'),
    'camera': (
        'left_m', 'centre_offset', 'exposure_ms', 'readout_ms', 'bloom', 'flare', 'dirt', 'drops',
        'auto_exposure', 'metering_s', 'bayer', 'sharpening',
    ),
    'weather': ('headlights',),
    'traffic': (
        'population', 'signals', 'light_cycle_s', 'stops_per_km', 'lane_changes', 'parking_per_km',
        'lorry_fraction', 'trailer_fraction', 'roof_load_fraction', 'lettering',
        'mirrors_in_boxes', 'opening_doors', 'dull_paint', 'lamp_shade',
    ),
    'ground': ('fine_asphalt',),
    'ego': ('queue', 'queue_vehicles', 'queue_gap_m', 'queue_wait_s', 'turn', 'dive_deg_per_g',
            'lean_deg_per_g', 'shake_deg'),
}  # fmt: skip
"""Fields that scenarios of earlier releases lack; unused they do not change a bag's identity."""


class Scenario(_Model):
    """Everything that, with its seed, determines a scene to the byte."""

    name: Annotated[str, Field(min_length=1), AfterValidator(safe_name)] = 'unnamed'
    """Names bags and pictures, so it is made safe as a file's name."""
    domain: Literal['clean', 'target'] = 'clean'
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    duration_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    frame_rate_hz: Annotated[float, Field(ge=1, le=100)] = 10.0
    truth_range_m: Annotated[float, Field(ge=1, le=500)] = 100.0
    street: Street = Street()
    roadside: Roadside = Roadside()
    relief: Relief = Relief()
    ground: Ground = Ground()
    things: dict[str, Annotated[Span, BeforeValidator(_Bounds(0, 400))]] = {}
    """Labelled things on the sidewalks, per kilometre; names are of ``content.things``."""
    traffic: Traffic = Traffic()
    people: People = People()
    cycles: Cycles = Cycles()
    ego: Ego = Ego()
    weather: Weather = Weather()
    camera: CameraMount = CameraMount()
    lidar: LidarMount | None = LidarMount()
    sensors: tuple[SensorMount, ...] = ()
    """All sensors of the vehicle, in place of the one camera and LiDAR above."""
    meshes: tuple[OwnMesh, ...] = ()
    """Meshes of the user's own, as objects or occluders."""
    randomisation: Randomisation = Randomisation()
    replay: Replay | None = None

    @model_serializer(mode='wrap')
    def _without_new_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out unused fields that older scenarios lack: their bags' identity stays."""
        values: dict[str, Any] = handler(self)
        if self.replay is None:
            values.pop('replay')
        for name in ('roadside', 'relief', 'ground', 'people', 'cycles'):
            if getattr(self, name) == type(self).model_fields[name].default:
                values.pop(name)
        for name in ('things', 'meshes', 'sensors'):
            if not getattr(self, name):
                values.pop(name)
        for section, names in _LATER_FIELDS.items():
            part = getattr(self, section)
            for name in names:
                if getattr(part, name) == type(part).model_fields[name].default:
                    values.get(section, {}).pop(name, None)
        return values

    @model_validator(mode='after')
    def _check_sensors(self) -> Scenario:
        if self.sensors:
            check_rig(self.sensors)
        names = [own.name for own in self.meshes]
        if len(set(names)) < len(names):
            raise ValueError(f'meshes: names must differ, got {", ".join(names)}')
        for sensor in self.sensors:
            self.mount_of(sensor)
        return self

    def mount_of(self, sensor: SensorMount) -> CameraMount | LidarMount:
        """Return the ``camera`` or ``lidar`` section as a sensor of the list has it.

        Raises:
            ValueError: naming a wrong field of its ``settings``.
        """
        common = self.camera if sensor.kind == 'camera' else (self.lidar or LidarMount())
        try:
            return type(common).model_validate({**common.model_dump(), **sensor.settings})
        except ValidationError as error:
            kind = type(common)
            lines = [
                f'sensors: {sensor.name}.settings.{_describe(entry, kind)}'
                for entry in error.errors()
            ]
            raise ValueError('; '.join(lines)) from error

    @property
    def streams(self) -> tuple[Stream, ...]:
        """What the vehicle's sensors send; a camera is the first."""
        if not self.sensors:
            single = stream_of('camera', 'camera', self.frame_rate_hz)
            lidar = self.lidar and stream_of('lidar', 'lidar', self.lidar.rate_hz)
            return (single, lidar) if lidar else (single,)
        return tuple(
            stream_of(s.name, s.kind, self._rate(s), s.frame_id, s.topics)
            for s in sorted(self.sensors, key=lambda sensor: sensor.kind)
        )

    def _rate(self, sensor: SensorMount) -> float:
        mount = self.mount_of(sensor)
        own = mount.rate_hz if isinstance(mount, LidarMount) else self.frame_rate_hz
        return sensor.rate_hz or own

    def __hash__(self) -> int:
        """Scenarios can be keys, also those with mappings among their fields."""
        return hash(self.model_dump_json())

    def check_time(self, t: float) -> None:
        """Refuse times at which there is no frame.

        Raises:
            ValueError: for a time before -frame_period or after the duration, seconds.
        """
        tolerance, period = 1e-6, 1.0 / self.frame_rate_hz
        if not -period - tolerance <= t <= self.duration_s + tolerance:
            raise ValueError(
                f'time {t:g} s lies outside the scenario; it lasts from {-period:g} '
                f'to {self.duration_s:g} s'
            )


def load_scenario(name_or_path: str | Path, seed: int | None = None, **overrides: Any) -> Scenario:
    """Read and validate a scenario.

    Args:
        name_or_path: a YAML file, or the name of one in ``config/scenarios``.
        seed: replaces the file's seed.
        **overrides: replace fields; mappings merge (``camera={'width': 320}``), and dotted
            names reach inside (``**{'camera.width': 320}``).

    Raises:
        ScenarioError: naming each wrong field with its value and what is allowed.
        FileNotFoundError: for an unknown name or path, listing the known names.
    """
    path = _find(name_or_path)
    try:
        data = read_yaml(path)
    except FileError as error:
        raise ScenarioError(f'scenario {error}') from error
    if not isinstance(data, dict):
        raise ScenarioError(f'scenario {path}: expected a mapping of fields at the top level')
    data = {'name': path.stem, **data}
    for key, value in overrides.items():
        *parents, leaf = key.split('.')
        for parent in reversed([*parents, leaf][1:]):
            value = {parent: value}
        data = merge_settings(data, {([*parents, leaf])[0]: value})
    if seed is not None:
        data['seed'] = seed
    if isinstance(data.get('replay'), dict):
        data['replay'] = _located(data['replay'], path)
    if 'meshes' in data:
        try:
            data['meshes'] = located_meshes(data['meshes'], path.parent)
        except (FileError, OSError) as error:
            raise ScenarioError(f'scenario {path}: meshes: {error}') from error
    if 'sensors' in data:
        try:
            data['sensors'] = located_files(data['sensors'], path.parent)
        except (FileError, OSError) as error:
            raise ScenarioError(f'scenario {path}: sensors: {error}') from error
    return parse_scenario(data)


def _located(replay: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the field with the drive's absolute folder and its digest."""
    if not isinstance(replay.get('drive'), str):
        return replay
    folder = (path.parent / replay['drive']).resolve()
    try:
        return {**replay, 'drive': str(folder), 'digest': drive_digest(folder)}
    except DriveError as error:
        raise ScenarioError(f'scenario {path}: replay.drive: {error}') from error


def parse_scenario(data: Mapping[str, Any]) -> Scenario:
    """Validate a scenario given as a mapping.

    Raises:
        ScenarioError: naming each wrong field with its value and what is allowed.
    """
    try:
        return Scenario.model_validate(dict(data))
    except ValidationError as error:
        name = data.get('name', 'unnamed')
        lines = [_describe(entry, Scenario) for entry in error.errors()]
        raise ScenarioError(f'scenario {name!r}: ' + '; '.join(lines)) from error


def scenario_names() -> list[str]:
    """Return the names of the shipped scenarios, sorted."""
    return sorted(p.stem for p in share_path('config', 'scenarios').glob('*.yaml'))


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = share_path('config', 'scenarios') / f'{name_or_path}.yaml'
    if shipped.is_file():
        return shipped
    name = str(name_or_path)
    raise FileNotFoundError(f'{unknown("scenario", name, scenario_names())}; or give a YAML file')


def merge_settings(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with a change: mappings are merged key by key, all else is replaced."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge_settings(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _describe(entry: Any, model: type[BaseModel]) -> str:
    place = '.'.join(str(part) for part in entry['loc'])
    message = entry['msg'].removeprefix('Value error, ')
    if entry['type'] == 'extra_forbidden':
        return f'{place}: {unknown_key("field", model, entry["loc"])}'
    if isinstance(entry['input'], dict | BaseModel):
        return f'{place}: {message}' if place else message
    return f'{place} = {entry["input"]!r}: {message}'
