"""Two writers of one place, a full disk, Ctrl-C: all is told, the last whole state stays."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim_perception.bags import messages as m
from sim_perception.bags import topics as t_
from sim_perception.bags.errors import BagError
from sim_perception.bags.mcap_writer import McapWriter
from sim_perception.bags.reader import BagReader
from sim_perception.bags.typestore import serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.locks import BusyError, locked
from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.translation import TranslationConfig, TranslationNet
from sim_perception.taxonomy import load_taxonomy
from training.simulation.translate import translate

ROOT = Path(__file__).resolve().parents[2]


def image(number: int, side: int = 40) -> m.StampedMessage:
    stamp = m.START_STAMP + number * 10**8
    noise = np.random.default_rng(number).integers(0, 255, (side, side), np.uint8)
    return m.StampedMessage(
        t_.IMAGE.name, stamp, serialize(m.image_message(noise, stamp, 'camera'))
    )


def in_child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start Python; it runs in the project's root."""
    return subprocess.Popen(
        [sys.executable, '-c', code, *arguments],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


HOLD = """
import sys
from pathlib import Path
from sim_perception.bags.writer import BagWriter
with BagWriter(Path(sys.argv[1])):
    print('holds', flush=True)
    sys.stdin.readline()
"""


def test_second_writer_is_told_who_holds_the_bag(tmp_path: Path) -> None:
    with in_child(HOLD, str(tmp_path / 'bag')) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == 'holds\n'
        with (
            pytest.raises(BusyError, match=rf'is written by process {other.pid} on .*; wait'),
            BagWriter(tmp_path / 'bag'),
        ):
            pass
        other.kill()
    with BagWriter(tmp_path / 'bag') as writer:  # the lock has died with its process
        writer.write(image(0))
    assert os.listdir(tmp_path) == ['bag']


def test_first_writer_is_not_harmed_by_the_second(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as first:
        for number in range(5):
            first.write(image(number))
        with pytest.raises(BusyError), BagWriter(tmp_path / 'bag') as second:
            second.write(image(0))
        for number in range(5, 10):
            first.write(image(number))
    with BagReader(tmp_path / 'bag') as bag:
        assert bag.count(t_.IMAGE.name) == 10
        assert bag.verify() == []


def test_what_was_written_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = McapWriter.write

    def lose_the_first(self: McapWriter, channel: int, time: int, data: memoryview) -> None:
        if time > m.START_STAMP:
            really(self, channel, time, data)

    monkeypatch.setattr(McapWriter, 'write', lose_the_first)

    def write() -> None:
        with BagWriter(tmp_path / 'bag') as writer:
            for number in range(3):
                writer.write(image(number))

    with pytest.raises(BagError, match='2 of 3 messages were written'):
        write()
    assert os.listdir(tmp_path) == []


def test_locks_are_not_held_by_forks(tmp_path: Path) -> None:
    code = """
import os, sys, time
from pathlib import Path
from sim_perception.locks import locked
with locked(Path(sys.argv[1])):
    if os.fork() == 0:
        print('forked', flush=True)
        sys.stdin.readline()
        os._exit(0)
    os.wait()
"""
    with in_child(code, str(tmp_path / 'run')) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == 'forked\n'
        with pytest.raises(BusyError, match=f'process {other.pid}'), locked(tmp_path / 'run'):
            pass
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        with locked(tmp_path / 'run'):
            pass
        other.stdin.close()


def test_second_training_in_a_run_folder_is_told(tmp_path: Path) -> None:
    with locked(tmp_path / 'run'):
        command = ['train', 'depth_segmentation', '--config', 'smoke', f'output={tmp_path}/run']
        done = subprocess.run(
            [sys.executable, '-m', 'training', *command], cwd=ROOT, text=True, capture_output=True
        )
    assert done.returncode == 2
    assert f'is written by process {os.getpid()}' in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_full_disk_leaves_nothing_half_done(tmp_path: Path, storage: str) -> None:
    def write() -> None:
        with BagWriter(tmp_path / 'bag', storage, compression='none') as bag:
            for number in range(20):
                bag.write(image(number, 200))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises((OSError, sqlite3.Error), match=r'File too large|full|disk I/O'):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


SLOW = """
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_corrupt_writers import image
from sim_perception.bags.writer import BagWriter
message = image(0, 2000)
with BagWriter(Path(sys.argv[1]), storage=sys.argv[2]) as bag:
    for number in range(100_000):
        bag.write(message)
        if number == 2:
            print('writes', flush=True)
"""


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_interrupt_while_large_messages_are_written(tmp_path: Path, storage: str) -> None:
    with in_child(SLOW, str(tmp_path / 'bag'), storage, str(Path(__file__).parent)) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == 'writes\n'
        child.send_signal(signal.SIGINT)
        _, problems = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGINT
    assert problems.rstrip().endswith('KeyboardInterrupt')
    assert problems.count('Traceback') == 1  # nothing went wrong on the way out
    assert os.listdir(tmp_path) == []


def test_translation_that_was_killed_gives_equal_messages(tmp_path: Path) -> None:
    net = TranslationNet(TranslationConfig(width=8, blocks=1))
    checkpoint = save_checkpoint(tmp_path / 'net', net, taxonomy=load_taxonomy())
    source, folder = tmp_path / 'source', tmp_path / 'made'
    with BagWriter(source) as bag:
        for number in range(40):
            bag.write(image(number, 96))
    code = 'import sys; from training.commands.cli import main; main()'
    words = ['translate', source, '--checkpoint', checkpoint, '--out', folder / 'killed']
    partial = folder / '.killed.partial' / 'killed' / 'killed.mcap'
    with in_child(code, *map(str, words)) as child:
        while not (partial.exists() and partial.stat().st_size > 4000):
            assert child.poll() is None
        child.kill()
    assert os.listdir(folder) == ['.killed.partial']
    for name in ('killed', 'other'):
        assert translate(source, checkpoint, folder / name, 'cpu') == 40
    assert sorted(os.listdir(folder)) == ['killed', 'other']
    with BagReader(folder / 'killed') as first, BagReader(folder / 'other') as second:
        assert first.count(t_.IMAGE.name) == 40
        pairs = zip(first.messages(), second.messages(), strict=True)
        assert all((a[0], a[1], bytes(a[2])) == (b[0], b[1], bytes(b[2])) for a, b in pairs)
