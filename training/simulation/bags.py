"""Where simulated bags go: a folder, or any URL that fsspec knows; and the manifest of them.

A bag's record, its hashes included, lies in ``.manifest`` beside the bags, so that machines that
share a place never write the same file with different contents. ``manifest.json`` is all of them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim_perception.bags.errors import BagError
from sim_perception.bags.layout import METADATA, find_files
from sim_perception.files import parse_json, write_atomically
from training.simulation.plans import BagPlan
from training.simulation.write import FINGERPRINT, write_bag

MANIFEST = 'manifest.json'
_RECORDS = '.manifest'
_FORMAT = 1
_CHUNK = 2**20


class Bags(ABC):
    """A place of bags; plain values, so that it can be sent to other machines."""

    @abstractmethod
    def is_done(self, plan: BagPlan) -> bool:
        """Say whether a plan's bag is there already.

        Raises:
            FileExistsError: if something else is at its place.
        """

    @abstractmethod
    def make(self, plan: BagPlan, threads: int | None, progress: Callable[[], None]) -> int:
        """Simulate a bag; it appears when it is complete. Return its size in bytes."""

    @abstractmethod
    def remove(self, plan: BagPlan) -> None:
        """Remove a plan's bag, or whatever is at its place."""

    @abstractmethod
    def write_manifest(self, plans: Sequence[BagPlan]) -> None:
        """Write the manifest of all bags that have a record."""


def open_bags(out: str) -> tuple[Bags, Path]:
    """Return the place that ``--out`` names, and the path of bags in it, for ``plan_bags``.

    Raises:
        ImportError: for a URL where fsspec or what it needs for that URL is not installed.
        ValueError: for an unknown kind of URL.
    """
    if '://' not in out:
        return LocalBags(), Path(out)
    root, _, name = out.rstrip('/').rpartition('/')
    bags = RemoteBags(root)
    bags.connect()
    return bags, Path(name)


def _taken(place: str) -> FileExistsError:
    return FileExistsError(
        f'{place} exists, but was not made with these settings; choose another --out or pass '
        '--overwrite'
    )


def _record(plan: BagPlan, folder: Path) -> bytes:
    """Return a finished bag's entry of the manifest."""
    files = {}
    for file in sorted(folder.iterdir()):
        digest = hashlib.sha256()
        with file.open('rb') as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        files[file.name] = {'sha256': digest.hexdigest(), 'bytes': file.stat().st_size}
    facts = {
        'bag': plan.path.name,
        'fingerprint': plan.fingerprint,
        'scenario': plan.parsed.name,
        'seed': plan.parsed.seed,
        'frames': plan.frames,
        'sha256': hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
        'files': files,
    }
    return json.dumps(facts, indent=1).encode()


def _manifest(records: Sequence[bytes]) -> bytes:
    bags = sorted((parse_json(r.decode(), MANIFEST) for r in records), key=lambda b: b['bag'])
    return json.dumps({'format': _FORMAT, 'bags': bags}, indent=1).encode()


@dataclass(frozen=True)
class LocalBags(Bags):
    """Folders of this machine, or that several machines share."""

    def is_done(self, plan: BagPlan) -> bool:
        """Say whether a plan's bag is there already."""
        if not plan.path.exists():
            return False
        try:
            made_with = find_files(plan.path).custom.get(FINGERPRINT)
        except BagError:
            made_with = None
        if made_with != plan.fingerprint:
            raise _taken(str(plan.path))
        return True

    def make(self, plan: BagPlan, threads: int | None, progress: Callable[[], None]) -> int:
        """Simulate a bag."""
        return write_bag(plan, threads, progress)

    def remove(self, plan: BagPlan) -> None:
        """Remove what is at a plan's place."""
        shutil.rmtree(plan.path, ignore_errors=True)

    def write_manifest(self, plans: Sequence[BagPlan]) -> None:
        """Write the manifest beside the bags, hashing those that have no record of theirs."""
        folder = plans[0].path.parent
        for plan in plans:
            record = folder / _RECORDS / f'{plan.path.name}.json'
            known = record.read_bytes() if record.exists() else b'{}'
            if parse_json(known.decode(), record).get('fingerprint') != plan.fingerprint:
                record.parent.mkdir(exist_ok=True)
                write_atomically(record, _record(plan, plan.path))
        records = [
            path.read_bytes()
            for path in (folder / _RECORDS).glob('*.json')
            if (folder / path.stem / METADATA).exists()
        ]
        write_atomically(folder / MANIFEST, _manifest(records))


@dataclass(frozen=True)
class RemoteBags(Bags):
    """A folder behind a URL; bags grow on this machine and are sent when they are complete.

    A bag is there when its ``metadata.yaml`` is, which comes last, under its final name.

    Attributes:
        root: URL of the folder that the plans' paths are relative to.
    """

    root: str

    def connect(self) -> tuple[Any, str]:
        """Return the file system and the folder's path in it.

        Raises:
            ImportError: if fsspec, or what it needs for this URL, is not installed.
            ValueError: for an unknown kind of URL.
        """
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise ImportError(
                f'{self.root} needs fsspec; install it with: pip install fsspec'
            ) from error
        system, path = url_to_fs(self.root)
        return system, path.rstrip('/')

    def is_done(self, plan: BagPlan) -> bool:
        """Say whether a plan's bag is there already."""
        system, root = self.connect()
        if not system.exists(f'{root}/{plan.path}'):
            return False
        record = f'{root}/{_in_records(plan)}'
        known = {}
        if system.exists(record):
            known = parse_json(system.cat_file(record).decode(), record)
        if known.get('fingerprint') != plan.fingerprint:
            raise _taken(f'{self.root}/{plan.path}')
        return bool(system.exists(f'{root}/{plan.path}/{METADATA}'))

    def make(self, plan: BagPlan, threads: int | None, progress: Callable[[], None]) -> int:
        """Simulate a bag and send it."""
        with tempfile.TemporaryDirectory(prefix='bag_') as cache:
            local = replace(plan, path=Path(cache) / plan.path.name)
            size = write_bag(local, threads, progress)
            self._send(plan, local.path)
        return size

    def _send(self, plan: BagPlan, bag: Path) -> None:
        """Send a finished bag under a hidden name, then give it its own, the metadata last."""
        system, root = self.connect()
        final = f'{root}/{plan.path}'
        # Two machines may send the same bag: its bytes are the same.
        hidden = f'{root}/{plan.path.parent}/.{plan.path.name}.{uuid.uuid4().hex}.partial'
        names = sorted((file.name for file in bag.iterdir()), key=lambda name: name == METADATA)
        try:
            system.makedirs(hidden, exist_ok=True)
            for name in names:
                system.put_file(str(bag / name), f'{hidden}/{name}')
            record = f'{root}/{_in_records(plan)}'
            system.makedirs(record.rpartition('/')[0], exist_ok=True)
            system.pipe_file(record, _record(plan, bag))
            system.makedirs(final, exist_ok=True)
            for name in names:
                system.mv(f'{hidden}/{name}', f'{final}/{name}')
        finally:
            if system.exists(hidden):
                system.rm(hidden, recursive=True)

    def remove(self, plan: BagPlan) -> None:
        """Remove what is at a plan's place."""
        system, root = self.connect()
        if system.exists(f'{root}/{plan.path}'):
            system.rm(f'{root}/{plan.path}', recursive=True)

    def write_manifest(self, plans: Sequence[BagPlan]) -> None:
        """Write the manifest beside the bags."""
        system, root = self.connect()
        folder = f'{root}/{plans[0].path.parent}'.removesuffix('/.')
        # Records come before their bags do.
        there = [path.split('/')[-2] for path in system.glob(f'{folder}/*/{METADATA}')]
        records = [system.cat_file(f'{folder}/{_RECORDS}/{name}.json') for name in there]
        system.pipe_file(f'{folder}/{MANIFEST}', _manifest(records))


def _in_records(plan: BagPlan) -> Path:
    return plan.path.parent / _RECORDS / f'{plan.path.name}.json'
