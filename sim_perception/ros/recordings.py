"""Recordings as ``ros2 bag play`` wants them, for launch files."""

from __future__ import annotations

from pathlib import Path

from sim_perception.bags.bag_files import BagFiles
from sim_perception.bags.errors import BagError
from sim_perception.bags.layout import METADATA, PACKED, find_files


def playable(bag: str) -> str:
    """Return what to give ``ros2 bag play`` of a recording: its folder, or its only file.

    Raises:
        FileNotFoundError: there is no such bag.
        BagError: if it cannot be played as it is; the message says what to do.
    """
    path = Path(bag)
    if not path.exists():
        raise FileNotFoundError(f'the bag {bag} does not exist')
    files = BagFiles(path)
    unlisted = files.unlisted
    files.close()
    if unlisted and (path.is_file() or (path / METADATA).exists()):
        raise BagError(
            f'{unlisted[0]}: its index does not name its topics, which `ros2 bag play` needs; '
            f'write it anew with `mcap recover {unlisted[0]} -o NEW.mcap`'
        )
    if path.is_file() or (path / METADATA).exists():
        return bag
    found = find_files(path).files
    if len(found) == 1 and not unlisted and found[0].suffix != PACKED:
        return str(found[0])
    raise BagError(
        f'{path} has no {METADATA}, which `ros2 bag play` needs; write it with '
        f'`ros2 bag reindex {path}`'
    )


def image_transport_of(bag: str, namespace: str = '') -> str:
    """Return 'raw' or 'compressed': which camera topic a bag has.

    Args:
        bag: its folder or file.
        namespace: of the camera's topics.

    Raises:
        FileNotFoundError: there is no such bag.
        BagError: if it cannot be read.
    """
    path = Path(bag)
    if not path.exists():
        raise FileNotFoundError(f'the bag {bag} does not exist')
    files = BagFiles(path)
    names = set(files.types)
    files.close()
    camera = '/'.join(['', *filter(None, namespace.split('/')), 'camera/image_raw'])
    return 'raw' if camera in names else 'compressed'
