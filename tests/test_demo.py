"""The whole loop, small: every stage once, every figure by its name, and nothing done twice."""

import json

import pytest

from auditdm.sandbox import demo as module
from auditdm.sandbox.demo import demo, demo_config

pytestmark = [pytest.mark.tiny, pytest.mark.slow]
FIGURES = {
    "search_success", "search_success_prompt_only", "search_success_paper_reward", "validity", "false_consensus",
    "distinct_failure_types", "modes_confirmed", "benchmarks", "guard", "stages",
}  # fmt: skip


def test_the_demo_writes_figures_and_report_and_a_second_call_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "NATURAL", 3)
    monkeypatch.setattr(module, "INSIDE", 3)
    told = demo_config().model_dump(mode="json")
    small = {
        "images": {**told["images"], "limit": 60},
        "training": {**told["training"], "steps": 2, "batch": 32, "checkpoint_every": 2},
        "discovery": {"probes": 48, "batch": 48},
        "confirmation": {**told["confirmation"], "budget": 96},
        "rectify": {
            **told["rectify"],
            "images": {**told["rectify"]["images"], "limit": 120},
            "per_mode": 2,
            "rows": 16,
            "options": {"per_device_train_batch_size": 16, "max_steps": 2},
        },
    }
    config = demo_config(**small)
    summary = demo(tmp_path / "run", config=config)
    assert summary.keys() >= FIGURES
    rate = summary["search_success"]
    assert rate.keys() >= {"value", "hits", "asked", "void", "ci95"}
    assert rate["asked"] + rate["void"] == 48
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary
    assert (tmp_path / "run" / "replays.json").exists() == bool(summary.get("modes_confirmed"))
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert "sandbox/target-small" in page
    parts = sorted(str(p) for p in (tmp_path / "run" / "tables").rglob("*.parquet"))
    again = demo(tmp_path / "run", config=config)
    assert sorted(str(p) for p in (tmp_path / "run" / "tables").rglob("*.parquet")) == parts
    assert {k: v for k, v in again.items() if k not in ("stages", "wall_s")} == {
        k: v for k, v in summary.items() if k not in ("stages", "wall_s")
    }
