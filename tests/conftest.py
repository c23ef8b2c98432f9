"""Says what a run of the tests left out, and keeps every test off the network."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core each

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")

_MARKS = ("gpu", "net", "slow", "tiny")
_left_out: Counter[str] = Counter()


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        _left_out[next((mark for mark in _MARKS if item.get_closest_marker(mark)), "unmarked")] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes
        session.config.workeroutput["left_out"] = dict(_left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _left_out.clear()  # every process leaves out the same
    _left_out.update(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    _left_out.pop("unmarked", None)  # the person chose those by hand
    if not _left_out:
        terminalreporter.write_line("left out: nothing")
    for mark, count in sorted(_left_out.items()):
        terminalreporter.write_line(f'left out: {count} marked {mark}; to run them: make test MARK="{mark}"')
