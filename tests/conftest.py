"""Says what a run of the tests left out, and keeps every test off the network."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")

_MARKS = ("gpu", "net", "tiny")
_left_out: Counter[str] = Counter()


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        _left_out[next((mark for mark in _MARKS if item.get_closest_marker(mark)), "unmarked")] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    _left_out.pop("unmarked", None)  # the person chose those by hand
    if not _left_out:
        terminalreporter.write_line("left out: nothing")
    for mark, count in sorted(_left_out.items()):
        terminalreporter.write_line(f'left out: {count} marked {mark}; to run them: make test MARK="{mark}"')
