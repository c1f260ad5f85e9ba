"""Which files a bag consists of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim_perception.bags.errors import BagError
from sim_perception.files import FileError, natural_key, read_yaml

#: Key in the bag's custom data: the log times are the header stamps, so that readers need
#: not open every message to find one by its stamp.
STAMPED = 'sim_perception.log_time_is_stamp'
#: What the name of a storage file ends with that was compressed as a whole.
PACKED = '.zstd'

METADATA = 'metadata.yaml'
_SUFFIXES = ('.mcap', '.db3')
_ROS1 = ('.bag', '.bag.active')
_ROS1_MAGIC = b'#ROSBAG V'
_SPLIT = re.compile(r'_\d+$')


@dataclass(frozen=True)
class BagLayout:
    """The files of a bag.

    Attributes:
        files: storage files in recording order, perhaps compressed as a whole (``PACKED``).
        custom: facts that the writer put into the metadata.
        problems: what is wrong with the metadata, in words.
    """

    files: tuple[Path, ...]
    custom: dict[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def bags_at(path: Path) -> list[Path]:
    """Return the bags that a path stands for: itself, those in it, or those right below it.

    Without ``metadata.yaml`` the storage files of a folder are one bag if their names differ
    but in the number of a split, else a bag each. Bags of ROS 1 count, so that opening them
    says what they are. Hidden files and folders do not: they grow yet, or are no bags.
    """
    if path.name.startswith('.'):
        return []
    here = _bags_in(path)
    if here or not path.is_dir():
        return here
    below = (child for child in _sorted(path.iterdir()) if child.is_dir())
    return [bag for child in below if not child.name.startswith('.') for bag in _bags_in(child)]


def _bags_in(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if _is_storage(path) or _is_ros1(path) else []
    if not path.is_dir():
        return []
    if (path / METADATA).exists():
        return [path]
    files = _storage_files(path)
    if len({_recording(file) for file in files}) == 1:
        return [path]
    ros1 = [file for file in path.iterdir() if _is_ros1(file) and file.is_file()]
    return _sorted([*files, *ros1])


def find_files(path: Path) -> BagLayout:
    """Read a bag's ``metadata.yaml``, or find its files where that is missing or broken.

    Raises:
        BagError: if nothing at ``path`` looks like a bag.
    """
    if path.is_file():
        _refuse_ros1(path)
        if not _is_storage(path):
            raise BagError(f'{path} is not a bag; expected a folder, .mcap or .db3')
        return BagLayout((path,))
    if not path.is_dir():
        raise BagError(f'there is no bag at {path}')
    metadata = path / METADATA
    found = _storage_files(path)
    if metadata.exists():
        try:
            return _from_metadata(path, read_yaml(metadata), found)
        except (FileError, OSError, KeyError, TypeError, AttributeError) as error:
            problem = f'{metadata} is damaged ({error!r}); the storage files themselves are used'
    else:
        problem = (
            f'{metadata} is missing (recording interrupted?); the storage files themselves are '
            'used. `ros2 bag reindex` writes it anew'
        )
    if not found:
        for file in path.iterdir():
            if _is_ros1(file) and file.is_file():
                _refuse_ros1(file)
        raise BagError(f'{path} has no {METADATA} and no .mcap or .db3 file: not a bag')
    if not metadata.exists() and len({_recording(file) for file in found}) > 1:
        names = ', '.join(file.name for file in found)
        raise BagError(f'{path} has no {METADATA} and several recordings: {names}; name one')
    return BagLayout(tuple(found), problems=(problem,))


def _from_metadata(path: Path, document: Any, found: list[Path]) -> BagLayout:
    information = document['rosbag2_bagfile_information']
    # Old bags name their files relative to the folder's parent: only the names matter.
    named = [Path(name).name for name in information['relative_file_paths']]
    there = {name: file for file in found for name in (file.name, _unpacked_name(file))}
    there |= {f'{file.name}{PACKED}': file for file in found if not _is_packed(file)}
    missing = ', '.join(name for name in named if name not in there)
    files = tuple(there[name] for name in named if name in there)
    custom = {str(k): str(v) for k, v in (information.get('custom_data') or {}).items()}
    if not files and not found:
        raise BagError(f'{path} has none of the files its metadata names: {missing}')
    if not files:
        names = ', '.join(file.name for file in found)
        problem = f'{path} has none of the files its metadata names ({missing}); {names} is used'
        return BagLayout(tuple(found), custom, (problem,))
    problems = (f'{path} lacks {missing}: their messages are lost',) if missing else ()
    return BagLayout(files, custom, problems)


def _storage_files(folder: Path) -> list[Path]:
    return _sorted(p for p in folder.iterdir() if _is_storage(p) and p.is_file())


def _is_storage(path: Path) -> bool:
    suffix = Path(_unpacked_name(path)).suffix.lower()
    return suffix in _SUFFIXES and not path.name.startswith('.')


def _is_ros1(path: Path) -> bool:
    return path.name.lower().endswith(_ROS1)


def _is_packed(path: Path) -> bool:
    return path.suffix == PACKED


def _unpacked_name(path: Path) -> str:
    return path.name.removesuffix(PACKED)


def _recording(path: Path) -> str:
    """Return what the names of the parts of one recording have in common."""
    return _SPLIT.sub('', Path(_unpacked_name(path)).stem)


def _sorted(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: natural_key(path.name))


def _refuse_ros1(path: Path) -> None:
    with path.open('rb') as file:
        ros1 = file.read(len(_ROS1_MAGIC)) == _ROS1_MAGIC
    if ros1 or _is_ros1(path):
        raise BagError(
            f'{path} is a ROS 1 bag; convert it with `rosbags-convert --src {path} --dst '
            f'{path.with_suffix("")}`'
        )
