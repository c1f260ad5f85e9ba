"""Which files a bag consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sim_perception.bags.errors import BagError

#: Key in the bag's custom data: the log times are the header stamps, so that readers need
#: not open every message to find one by its stamp.
STAMPED = 'sim_perception.log_time_is_stamp'

_SUFFIXES = ('.mcap', '.db3')
# Safe, and in C where PyYAML was built so: QoS profiles make metadata long.
_LOADER: Any = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


@dataclass(frozen=True)
class BagLayout:
    """The files of a bag.

    Attributes:
        files: storage files in recording order.
        compression_mode: '' (or inside MCAP chunks), 'file' or 'message'.
        custom: facts that the writer put into the metadata.
        problems: what is wrong with the metadata, in words.
    """

    files: tuple[Path, ...]
    compression_mode: str = ''
    custom: dict[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def find_files(path: Path) -> BagLayout:
    """Read a bag's ``metadata.yaml``, or find its files where that is missing or broken.

    Raises:
        BagError: if nothing at ``path`` looks like a bag.
    """
    if path.is_file():
        if path.suffix not in _SUFFIXES:
            raise BagError(f'{path} is not a bag; expected a folder, .mcap or .db3')
        return BagLayout((path,))
    if not path.is_dir():
        raise BagError(f'there is no bag at {path}')
    metadata = path / 'metadata.yaml'
    if metadata.exists():
        try:
            return _from_metadata(path, yaml.load(metadata.read_text(), _LOADER))
        except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
            problem = f'{metadata} is damaged ({error!r}); the storage files themselves are used'
    else:
        problem = (
            f'{metadata} is missing (recording interrupted?); the storage files themselves are '
            'used. `ros2 bag reindex` writes it anew'
        )
    files = sorted(p for p in path.iterdir() if p.suffix in _SUFFIXES)
    if not files:
        raise BagError(f'{path} has no metadata.yaml and no .mcap or .db3 file: not a bag')
    return BagLayout(tuple(files), problems=(problem,))


def _from_metadata(path: Path, document: Any) -> BagLayout:
    information = document['rosbag2_bagfile_information']
    # Old bags name their files relative to the folder's parent: only the names matter.
    named = [path / Path(name).name for name in information['relative_file_paths']]
    missing = [file.name for file in named if not file.exists()]
    problems = (f'{path} lacks {", ".join(missing)}: their messages are lost',) if missing else ()
    files = tuple(file for file in named if file.exists())
    if not files:
        raise BagError(f'{path} has none of the files its metadata names: {", ".join(missing)}')
    mode = str(information.get('compression_mode') or '').lower()
    custom = {str(k): str(v) for k, v in (information.get('custom_data') or {}).items()}
    return BagLayout(files, '' if mode == 'none' else mode, custom, problems)
