"""Text, YAML and JSON of others: read with one clear error, bounded in depth and size.

Also the one way from a name in such a file to the name of a file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

import yaml
from pydantic import TypeAdapter, ValidationError

T = TypeVar('T')

_MOST_BYTES = 256 << 20
_MOST_DEPTH = 100
#: Values of a document with its aliases written out: a few lines can stand for billions.
_MOST_VALUES = 2_000_000
_NAME_BYTES = 100
_UNSAFE = frozenset('/\\:*?"<>|~')
# Safe, and in C where PyYAML was built so: QoS profiles make metadata long.
_LOADER: Any = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


class FileError(ValueError):
    """A file cannot be used; the message names it and says why."""


def read_bytes(path: Path | str, most: int = _MOST_BYTES) -> bytes:
    """Return the contents of a regular file.

    Raises:
        FileError: for anything else, such as a pipe, or more than ``most`` bytes.
        OSError: if the file cannot be opened.
    """
    path = Path(path)
    state = path.stat()
    if stat.S_ISDIR(state.st_mode):
        raise FileError(f'{path} is a folder; give a file')
    if not stat.S_ISREG(state.st_mode):
        raise FileError(f'{path} is not a regular file; give a file')
    if state.st_size > most:
        raise FileError(
            f'{path} has {state.st_size} bytes, the most are {most}; is it the right file?'
        )
    return path.read_bytes()


def read_text(path: Path | str) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises:
        FileError: for another encoding, a pipe or a file that is no text by its size.
        OSError: if the file cannot be opened.
    """
    return decode_text(read_bytes(path), path)


def decode_text(data: bytes, where: Path | str) -> str:
    """Return UTF-8 bytes as text, without a byte order mark.

    Raises:
        FileError: naming ``where``, for another encoding.
    """
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise FileError(
            f'{where} is not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x}); '
            'save it as UTF-8'
        ) from error
    if '\0' in text:
        raise FileError(
            f'{where} is not UTF-8 text (it has zero bytes, as UTF-16 has); save it as UTF-8'
        )
    return text


def read_yaml(path: Path | str) -> Any:
    """Return the value of a YAML file; see ``parse_yaml``.

    Raises:
        FileError: if it is not readable YAML.
        OSError: if the file cannot be opened.
    """
    return parse_yaml(read_text(path), path)


def parse_yaml(text: str, where: Path | str) -> Any:
    """Return the value of YAML text, safely.

    Raises:
        FileError: naming ``where``, for bad syntax, repeated keys, more than 100 levels, or
            aliases that refer to themselves or stand for too many values.
    """
    try:
        _check_yaml(text, where)
        return yaml.load(text, _LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f'{where} is not valid YAML: {_one_line(error)}') from error


def read_json(path: Path | str) -> Any:
    """Return the value of a JSON file.

    Raises:
        FileError: if it is not readable JSON.
        OSError: if the file cannot be opened.
    """
    return parse_json(read_text(path), path)


def parse_json(text: str, where: Path | str) -> Any:
    """Return the value of JSON text.

    Raises:
        FileError: naming ``where``, for bad syntax or too many levels.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise FileError(f'{where} is nested too deeply for JSON of this program') from error
    except ValueError as error:
        raise FileError(f'{where} is not valid JSON: {error}') from error


def parse_xml(text: str, where: Path | str) -> ElementTree.Element:
    """Return the root of XML text; entities, which can stand for billions of letters, are refused.

    Raises:
        FileError: naming ``where``, for bad syntax or entities.
    """
    if '<!DOCTYPE' in text or '<!ENTITY' in text:
        raise FileError(f'{where} declares XML entities; remove its <!DOCTYPE ...>')
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, RecursionError) as error:
        raise FileError(f'{where} is not valid XML: {error}') from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent, whenever the process or the machine stops.

    Raises:
        OSError: for a full disk and the like; an earlier file of that name is then still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    try:
        with partial.open('wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as a JSON file, atomically.

    Raises:
        OSError: see ``write_atomically``.
    """
    write_atomically(path, (json.dumps(value, indent=1) + '\n').encode())


def mapping(value: Any, where: Path | str) -> dict[str, Any]:
    """Return a value that was read, if it is a mapping.

    Raises:
        FileError: naming ``where``, if it is something else.
    """
    if not isinstance(value, dict):
        raise FileError(f'{where} holds {type(value).__name__}, need a mapping of names to values')
    return value


def typed(kind: type[T], values: Any, what: str) -> T:
    """Return a dataclass of plain values whose types are those of its fields.

    Args:
        kind: the dataclass; its own checks apply as well.
        values: by field name; lists stand for tuples.
        what: for messages.

    Raises:
        FileError: naming ``what`` and each wrong field.
    """
    try:
        return TypeAdapter(kind).validate_python(mapping(values, what))
    except ValidationError as error:
        problems = (
            f'{".".join(map(str, item["loc"]))}: {item["msg"]}, got {str(item["input"])[:40]}'
            for item in error.errors()
        )
        raise FileError(f'{what}: {"; ".join(problems)}') from error


def natural_key(name: str) -> tuple[list[tuple[str, int]], str]:
    """Return what sorts names as people count: ``frame2`` before ``frame10``."""
    texts, numbers = re.split(r'\d+', name), [*re.findall(r'\d+', name), '-1']
    return [(text, int(n)) for text, n in zip(texts, numbers, strict=True)], name


def safe_name(name: str) -> str:
    """Return a name from data as one file name, never a path, hidden or too long.

    Safe names stay as they are. Others get a few letters that depend on the whole name, so
    that different names stay different.
    """
    kept = ''.join('_' if c in _UNSAFE or not c.isprintable() else c for c in name).strip()
    if kept.startswith('.') or not kept:
        kept = f'_{kept[1:]}'
    if kept == name and len(kept.encode()) <= _NAME_BYTES:
        return name
    mark = f'-{hashlib.sha256(name.encode(errors="replace")).hexdigest()[:6]}'
    while len(kept.encode(errors='replace')) > _NAME_BYTES - len(mark):
        kept = kept[:-1]
    return kept + mark


@dataclass
class _Open:
    """A YAML mapping or sequence whose end was not seen yet."""

    anchor: str | None
    mapping: bool
    values: int = 1
    children: int = 0
    keys: set[str] = field(default_factory=set)


def _check_yaml(text: str, where: Path | str) -> None:
    """Refuse what PyYAML would take in silence, or not survive, before a value is made."""
    above: list[_Open] = []
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=_LOADER):
        values = 1
        if isinstance(event, yaml.CollectionStartEvent):
            if len(above) >= _MOST_DEPTH:
                raise FileError(f'{where} is not valid YAML: more than {_MOST_DEPTH} levels deep')
            above.append(_Open(event.anchor, isinstance(event, yaml.MappingStartEvent)))
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            done = above.pop()
            values = done.values
            if done.anchor:
                sizes[done.anchor] = values
        elif isinstance(event, yaml.AliasEvent):
            if any(node.anchor == event.anchor for node in above):
                raise FileError(f'{where} is not valid YAML: *{event.anchor} contains itself')
            values = sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            _note_key(above, event, where)
        if above:
            above[-1].values += values
            above[-1].children += 1
            if above[-1].values > _MOST_VALUES:
                raise FileError(
                    f'{where} has more than {_MOST_VALUES} values with its aliases written out'
                )


def _note_key(above: list[_Open], event: yaml.ScalarEvent, where: Path | str) -> None:
    """Refuse a mapping's second key of a name."""
    parent = above[-1] if above else None
    if parent is None or not parent.mapping or parent.children % 2:
        return
    if event.value in parent.keys:
        line = f'line {event.start_mark.line + 1}' if event.start_mark else 'it'
        raise FileError(f'{where} is not valid YAML: {line} repeats the key {event.value!r}')
    parent.keys.add(event.value)


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())
