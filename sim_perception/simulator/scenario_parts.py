"""The sections of a scenario. A number may be a value or a ``[low, high]`` range.

Every field names its allowed bounds; a wrong value is refused with the field's name, the value and
the bounds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Span = tuple[float, float]
Season = Literal['spring', 'summer', 'autumn', 'winter']
Population = Literal['generic', 'european', 'american', 'asian']
LidarName = Literal[
    'generic', 'hdl_64e', 'vlp_16', 'vlp_32c', 'os1_64', 'os1_128', 'pandar_64', 'rs_m1'
]
LandUse = Literal['centre', 'residential', 'suburb', 'industrial', 'park', 'rural']


class Bounds:
    """Validates ``x`` or ``[low, high]`` within bounds and returns (low, high)."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, value: object) -> Span:
        """Return the range.

        Raises:
            ValueError: for what is no number or range, or beyond the bounds.
        """
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


class Part(BaseModel):
    """Settings that refuse what they do not know."""

    model_config = ConfigDict(extra='forbid', frozen=True, validate_default=True)


class Street(Part):
    """Layout of the street and what stands beside it."""

    land_use: Annotated[tuple[LandUse, ...], BeforeValidator(_choices), Field(min_length=1)] = (
        'centre', 'residential', 'suburb')  # fmt: skip
    curviness: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.6)
    lanes_per_direction: Annotated[Span, BeforeValidator(Bounds(1, 3))] = (1, 1.7)
    lane_width_m: Annotated[Span, BeforeValidator(Bounds(2.6, 4.5))] = (3.0, 3.6)
    sidewalk_width_m: Annotated[Span, BeforeValidator(Bounds(1.2, 8))] = (2.0, 4.5)
    setback_m: Annotated[Span, BeforeValidator(Bounds(0, 30))] = (0.3, 6.0)
    junction_spacing_m: Annotated[Span, BeforeValidator(Bounds(40, 2000))] = (70, 140)
    left_hand: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    parking: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.8, 0.8)
    building_density: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.7, 1.0)
    tree_spacing_m: Annotated[Span, BeforeValidator(Bounds(3, 200))] = (8, 20)
    furniture_density: Annotated[Span, BeforeValidator(Bounds(0, 3))] = (0.7, 1.3)
    billboard_density: Annotated[Span, BeforeValidator(Bounds(0, 3))] = (0.6, 1.2)


class Roadside(Part):
    """What stands tall and close to the road; nothing by default.

    ``frontage`` is the share of the sidewalks' backs that walls, hedges, board fences, retaining
    walls and garages line; ``shops`` that of the town blocks at the sidewalk with shops on their
    ground floor, ``posters`` that of the others with bills.
    """

    frontage: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    frontage_height_m: Annotated[Span, BeforeValidator(Bounds(0.5, 8))] = (1.2, 3.0)
    bridges_per_km: Annotated[Span, BeforeValidator(Bounds(0, 40))] = (0.0, 0.0)
    scaffolds_per_km: Annotated[Span, BeforeValidator(Bounds(0, 100))] = (0.0, 0.0)
    bins_per_km: Annotated[Span, BeforeValidator(Bounds(0, 400))] = (0.0, 0.0)
    shops: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    posters: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)


class Relief(Part):
    """How the ground rises and falls; flat by default.

    ``slope_percent`` is the steepest grade along the street, ``crest_spacing_m`` the distance of
    crests, ``bank_percent`` the crossfall of the road in bends, to their inside.
    """

    slope_percent: Annotated[Span, BeforeValidator(Bounds(0, 15))] = (0.0, 0.0)
    crest_spacing_m: Annotated[Span, BeforeValidator(Bounds(60, 2000))] = (120.0, 500.0)
    bank_percent: Annotated[Span, BeforeValidator(Bounds(0, 10))] = (0.0, 0.0)
    bumps_per_km: Annotated[Span, BeforeValidator(Bounds(0, 40))] = (0.0, 0.0)
    bump_height_m: Annotated[Span, BeforeValidator(Bounds(0.02, 0.15))] = (0.05, 0.1)


class Ground(Part):
    """What the road and its edges are made of, beyond plain asphalt between equal curbs.

    ``lowered_curbs`` is the share of pedestrians' crossings whose curb is lowered, ``lawn_strips``
    and ``gravel`` the chance of a side to have grass between curb and pavement or a path of
    gravel, ``tram`` that of rails in the road. Of ``crossings_per_km`` those that are raised need
    room between junctions. ``worn_paint`` is the chance that markings have partly worn away,
    ``fine_asphalt`` that the road's asphalt is dark and even.
    """

    curb_height_m: Annotated[Span, BeforeValidator(Bounds(0, 0.2))] = (0.13, 0.13)
    lowered_curbs: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    lawn_strips: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    gravel: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    tram: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    crossings_per_km: Annotated[Span, BeforeValidator(Bounds(0, 30))] = (0.0, 0.0)
    arrows: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    patches_per_km: Annotated[Span, BeforeValidator(Bounds(0, 300))] = (0.0, 0.0)
    seams_per_km: Annotated[Span, BeforeValidator(Bounds(0, 300))] = (0.0, 0.0)
    covers_per_km: Annotated[Span, BeforeValidator(Bounds(0, 200))] = (0.0, 0.0)
    puddles_per_km: Annotated[Span, BeforeValidator(Bounds(0, 200))] = (0.0, 0.0)
    worn_paint: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    fine_asphalt: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)


class Traffic(Part):
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

    vehicles_per_km: Annotated[Span, BeforeValidator(Bounds(0, 120))] = (25, 45)
    speed_kmh: Annotated[Span, BeforeValidator(Bounds(5, 130))] = (30, 50)
    truck_fraction: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.05, 0.2)
    parked_density: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.4, 0.8)
    parked_truck_fraction: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.1, 0.25)
    pedestrians_per_km: Annotated[Span, BeforeValidator(Bounds(0, 600))] = (60, 140)
    crossing_fraction: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.2, 0.4)
    cyclists_per_km: Annotated[Span, BeforeValidator(Bounds(0, 100))] = (10, 25)
    turning_fraction: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.1, 0.3)
    signals: bool = False
    light_cycle_s: Annotated[Span, BeforeValidator(Bounds(24, 180))] = (32.0, 32.0)
    lorry_fraction: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    trailer_fraction: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    roof_load_fraction: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    lettering: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    mirrors_in_boxes: bool = True
    stops_per_km: Annotated[Span, BeforeValidator(Bounds(0, 60))] = (0.0, 0.0)
    lane_changes: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    parking_per_km: Annotated[Span, BeforeValidator(Bounds(0, 60))] = (0.0, 0.0)
    opening_doors: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    dull_paint: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    lamp_shade: Annotated[Span, BeforeValidator(Bounds(0.1, 1))] = (1.0, 1.0)


class People(Part):
    """How varied people are and who stays on the sidewalks; plain walkers alone by default.

    ``individuals`` is how many different people a scene has, ``carrying`` the share of walkers
    with a bag, a phone, an umbrella, a pram or the like, ``grouped`` the share that walk with
    others. Groups that stand, seats (benches, low walls) and café terraces come per kilometre.
    """

    individuals: Annotated[Span, BeforeValidator(Bounds(1, 80))] = (10, 10)
    carrying: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    grouped: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    standing_groups_per_km: Annotated[Span, BeforeValidator(Bounds(0, 200))] = (0.0, 0.0)
    seated_per_km: Annotated[Span, BeforeValidator(Bounds(0, 200))] = (0.0, 0.0)
    terraces_per_km: Annotated[Span, BeforeValidator(Bounds(0, 100))] = (0.0, 0.0)


class Cycles(Part):
    """Bicycles and motorcycles.

    ``variety`` is the share of cyclists on other bicycles and in other postures than the plain
    one, ``motorbike_fraction`` the share of motorcycles and scooters among moving vehicles,
    ``parked_per_km`` counts single parked ones, racks and rows that lean on walls.
    """

    variety: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    motorbike_fraction: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    parked_per_km: Annotated[Span, BeforeValidator(Bounds(0, 300))] = (0.0, 0.0)


class Ego(Part):
    """The vehicle that carries the sensors.

    It dives when it brakes, leans outwards in bends and shakes on the road (standard deviation at
    10 m/s); where any of these is not 0, springs and dampers also soften what the ground does.

    ``queue`` is the chance that it begins in a queue at a red light: ``queue_vehicles`` stand
    ahead of it, ``queue_gap_m`` apart, until the light turns green after ``queue_wait_s``.
    ``turn`` is the chance that it turns at a junction near its beginning, off or onto the main
    street; who queues only turns off.
    """

    speed_kmh: Annotated[Span, BeforeValidator(Bounds(0, 130))] = (30, 45)
    queue: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    queue_vehicles: Annotated[Span, BeforeValidator(Bounds(0, 12))] = (1, 5)
    queue_gap_m: Annotated[Span, BeforeValidator(Bounds(0.5, 12))] = (1.0, 5.0)
    queue_wait_s: Annotated[Span, BeforeValidator(Bounds(0, 120))] = (3.0, 15.0)
    turn: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    dive_deg_per_g: Annotated[Span, BeforeValidator(Bounds(0, 8))] = (0.0, 0.0)
    lean_deg_per_g: Annotated[Span, BeforeValidator(Bounds(0, 12))] = (0.0, 0.0)
    shake_deg: Annotated[Span, BeforeValidator(Bounds(0, 2))] = (0.0, 0.0)


class Weather(Part):
    """Light and air; ``headlights`` is the strength of the ego's own, 1 as cars have them."""

    sun_elevation_deg: Annotated[Span, BeforeValidator(Bounds(-12, 85))] = (20, 60)
    sun_azimuth_deg: Annotated[Span, BeforeValidator(Bounds(-360, 360))] = (0, 360)
    cloud_cover: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.1, 0.6)
    fog_density: Annotated[Span, BeforeValidator(Bounds(0, 0.1))] = (0.0005, 0.003)
    wetness: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    rain: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    headlights: Annotated[Span, BeforeValidator(Bounds(0, 3))] = (0.0, 0.0)
    season: Annotated[tuple[Season, ...], BeforeValidator(_choices), Field(min_length=1)] = (
        'summer',)  # fmt: skip


class CameraMount(Part):
    """The camera's intrinsics, its place on the vehicle and what it does to light.

    ``centre_offset`` is how far the principal point lies right of and below the image's middle,
    shares of width and height.

    From ``exposure_ms`` on, effects of a real camera on the image, all off by default and none
    of them in the labels: see docs/sensors.md. ``bayer`` is the chance that noise comes before
    demosaicing; it is as strong in the image as without.
    """

    width: Annotated[int, Field(ge=16, le=8192)] = 640
    height: Annotated[int, Field(ge=16, le=8192)] = 192
    horizontal_fov_deg: Annotated[Span, BeforeValidator(Bounds(10, 150))] = (81.4, 81.4)
    forward_m: Annotated[Span, BeforeValidator(Bounds(-3, 5))] = (0.3, 0.3)
    left_m: Annotated[Span, BeforeValidator(Bounds(-3, 3))] = (0.0, 0.0)
    height_m: Annotated[Span, BeforeValidator(Bounds(0.3, 5))] = (1.65, 1.65)
    pitch_deg: Annotated[Span, BeforeValidator(Bounds(-30, 30))] = (0.0, 0.0)
    roll_deg: Annotated[Span, BeforeValidator(Bounds(-15, 15))] = (0.0, 0.0)
    yaw_deg: Annotated[Span, BeforeValidator(Bounds(-180, 180))] = (0.0, 0.0)
    centre_offset: tuple[
        Annotated[float, Field(ge=-0.5, le=0.5)], Annotated[float, Field(ge=-0.5, le=0.5)]
    ] = (0.0, 0.0)
    distortion: Annotated[tuple[float, ...], Field(max_length=5)] = ()
    exposure: Annotated[Span, BeforeValidator(Bounds(0.05, 10))] = (0.65, 0.85)
    white_balance: Annotated[Span, BeforeValidator(Bounds(0, 0.5))] = (0.0, 0.0)
    contrast: Annotated[Span, BeforeValidator(Bounds(0.3, 2))] = (1.0, 1.0)
    saturation: Annotated[Span, BeforeValidator(Bounds(0, 2))] = (1.0, 1.0)
    vignetting: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    blur_px: Annotated[Span, BeforeValidator(Bounds(0, 5))] = (0.0, 0.0)
    shot_noise: Annotated[Span, BeforeValidator(Bounds(0, 0.3))] = (0.0, 0.0)
    read_noise: Annotated[Span, BeforeValidator(Bounds(0, 0.3))] = (0.0, 0.0)
    jpeg_quality: Annotated[Span, BeforeValidator(Bounds(0, 100))] = (0.0, 0.0)
    supersampling: Literal[1, 2] = 1
    exposure_ms: Annotated[Span, BeforeValidator(Bounds(0, 50))] = (0.0, 0.0)
    readout_ms: Annotated[Span, BeforeValidator(Bounds(0, 66))] = (0.0, 0.0)
    bloom: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    flare: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    dirt: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    drops: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    auto_exposure: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    metering_s: Annotated[Span, BeforeValidator(Bounds(0, 5))] = (0.5, 0.5)
    bayer: Annotated[Span, BeforeValidator(Bounds(0, 1))] = (0.0, 0.0)
    sharpening: Annotated[Span, BeforeValidator(Bounds(0, 3))] = (0.0, 0.0)


class LidarMount(Part):
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


class Randomisation(Part):
    """How far appearances stray from the domain's own, 0 to 1."""

    color: Annotated[float, Field(ge=0, le=1)] = 0.5
    texture: Annotated[float, Field(ge=0, le=1)] = 0.5
    shape: Annotated[float, Field(ge=0, le=1)] = 1.0


class AddedVehicle(Part):
    """A vehicle beside those of a replayed drive; places are relative to the ego's start."""

    family: str = 'sedan'
    ahead_m: float = 20.0
    left_m: float = 0.0
    yaw_deg: float = 0.0
    speed_mps: Annotated[float, Field(ge=-60, le=60)] = 0.0
    color: tuple[float, float, float] | None = None


class Replay(Part):
    """A recorded drive that takes the place of street, traffic and ego.

    ``drive`` is a folder written by ``python -m training resimulate``, relative to the scenario's
    file; ``without`` are ids of its objects that are left out (``'*'``: all).
    """

    drive: Annotated[str, Field(min_length=1)]
    digest: str = ''
    without: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    vehicles: tuple[AddedVehicle, ...] = ()
