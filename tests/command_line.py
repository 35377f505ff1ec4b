"""The command line as a person runs it, in the process of the test."""

import sys

import pytest

from emberformer import cli


def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object):
    """Exit code and what was printed to stderr of `emberformer ...`, logging left as it is."""
    monkeypatch.setattr(sys, "argv", ["emberformer", *map(str, words)])
    monkeypatch.setattr("logging.basicConfig", lambda **arguments: None)
    monkeypatch.setattr("logging.captureWarnings", lambda capture: None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code, capsys.readouterr().err
