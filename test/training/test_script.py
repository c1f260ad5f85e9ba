"""Example scripts end as verbs do: what a user can mend is one message, and Ctrl-C a sentence."""

import sys

import pytest

from training.commands.script import run_script
from training.datasets.sample import DatasetError


def run(monkeypatch, main, *words):
    monkeypatch.setattr(sys, 'argv', ['script', *words])
    with pytest.raises(SystemExit) as ended:
        run_script(main)
    return ended.value.code


def test_what_a_user_can_mend_is_one_message(monkeypatch, capsys):
    def main(name: str) -> None:
        raise DatasetError(f'{name} is no recording [of any kind]')

    assert run(monkeypatch, main, 'drive') == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        'error: drive is no recording [of any kind]'
    )


def test_what_nobody_foresaw_shows_where_it_happened(monkeypatch):
    def main() -> None:
        raise KeyError('lost')

    monkeypatch.setattr(sys, 'argv', ['script'])
    with pytest.raises(KeyError, match='lost'):
        run_script(main)


def test_words_are_those_of_verbs(monkeypatch, capsys):
    done = []

    def main(out: str = 'here') -> None:
        done.append(out)

    assert run(monkeypatch, main, '--out', 'there') == 0
    assert done == ['there']
    assert run(monkeypatch, main, '--ouf', 'there') == 2
    assert "did you mean '--out'?" in capsys.readouterr().err


def test_ctrl_c_ends_in_a_sentence(monkeypatch, capsys):
    def main() -> None:
        raise KeyboardInterrupt

    assert run(monkeypatch, main) == 130
    assert 'the same command begins again' in capsys.readouterr().err
