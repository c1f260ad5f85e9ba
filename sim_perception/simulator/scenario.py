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
from sim_perception.simulator.scenario_parts import (
    Bounds,
    CameraMount,
    Cycles,
    Ego,
    Ground,
    LidarMount,
    Part,
    People,
    Randomisation,
    Relief,
    Replay,
    Roadside,
    Span,
    Street,
    Traffic,
    Weather,
)
from sim_perception.suggestions import unknown, unknown_key


class ScenarioError(ValueError):
    """A scenario that cannot be used; the message names field, value and allowed range."""


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


class Scenario(Part):
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
    things: dict[str, Annotated[Span, BeforeValidator(Bounds(0, 400))]] = Field(
        default_factory=dict
    )
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
