"""A small run folder with a ledger, made up by hand, for tests of what only reads runs. No model is asked anything."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from auditdm.method.predicate import Literal, Predicate
from auditdm.stats import Rate
from auditdm.store import Run
from auditdm.types import content_id
from synthetic_run import CONFIG, ENVIRONMENT, REFERENCES, TARGET, scene, synthetic_run

PURPLE = Predicate.of(Literal(('answer "purple"',)), Literal(('asks "what colour is the ...?"',)))
COUNTS = Predicate.of(Literal(('asks "how many ... are there?"',)), Literal(("answer >= 7",)))
# In the order of testing: predicate, state, reason, then the figures of COLUMNS.
LEDGER: tuple[tuple[Any, ...], ...] = (
    (Predicate.of(Literal(('asks "is there a ...?"',))), "noise",
     "21 of 66 fresh probes fail, but only 9 of 21 again when asked in other words",
     21, 66, 0, 4, 66, 1, 67, 9, 21, 6 / 66, 1e-4, 2e-4),
    (COUNTS, "confirmed", "24 of 70 fresh probes fail; 2 of 70 others on the same pictures",
     24, 70, 0, 2, 70, 3, 73, 22, 24, 5 / 70, 1e-6, 2.5e-6),
    (Predicate.of(Literal(('shows "clock"',))), "not confirmed",
     "5 of 64 fresh probes fail; 4 of 64 others on the same pictures (q = 0.5)",
     5, 64, 0, 4, 64, 0, 64, 4, 5, 5 / 64, 0.5, 0.5),
    (Predicate.of(Literal(('says "left"',), negated=True)), "too few", "12 fresh probes measured of the 64 needed",
     7, 12, 1, 0, 0, 0, 13, 0, 0, None, None, None),
    (Predicate.of(Literal(('says "pattern"', 'says "row"'))), "consensus unreliable",
     "the references disagree on 30 of 100 probes inside, elsewhere on 3%",
     20, 70, 0, 2, 70, 30, 100, 18, 20, 5 / 70, 1e-5, 2e-5),
    (PURPLE, "confirmed", "41 of 64 fresh probes fail; 3 of 61 others on the same pictures",
     41, 64, 2, 3, 61, 2, 68, 30, 32, 5 / 64, 1e-12, 5e-12),
)  # fmt: skip
COLUMNS = ("hits", "asked", "void", "base_hits", "base_asked", "splits", "posed", "again_hits", "again_asked",
           "decoy_floor", "p", "q")  # fmt: skip
OTHER = "hf/another-model"
SEARCH = {
    "calls": 18_420,
    "curve": [[3_000, 0], [7_500, 1], [13_000, 2], [18_420, 2]],
    "unseen": 3 / 84,
    "usual": Rate(84, 2_000).as_dict(),
    "stopped": "2 cycles named nothing new, and 2000 unchosen probes would have shown a mode on 0.50% of them",
    "hits": 410,
    "asked": 6_100,
    "void": 12,
}
JUDGED = {
    "probes": 1_250,
    "references": [
        {"model": name, "kept": Rate(480 - n, 500).as_dict(), "deviates": Rate(9 + n, 1_180, 70).as_dict(),
         "abstains": Rate(n, 1_250).as_dict()} for n, name in enumerate(REFERENCES)
    ],
    "panel": {"size": 3, "measured": 1_250, "void": 0, "error": 0.02, "correlation": 0.2, "same": 0.6, "votes": 2.14},
    "expected": [
        {"agreeing": 2, "of": 3, "value": 0.02, "interval": [0.01, 0.04], "independent": 0.001},
        {"agreeing": 3, "of": 3, "value": 0.008, "interval": [0.003, 0.019], "independent": 0.0001},
    ],
    "used": {"agreeing": 3, "of": 3},
    "oracle": {"all": {"false_consensus": Rate(11, 1_180).as_dict()}},
}  # fmt: skip
PLANTED = {
    "gap_recall": Rate(73, 80).as_dict(),
    "gap_recall_by": {"order 1-2, at least 2%": Rate(55, 56).as_dict(), "order 3, or under 2%": Rate(18, 24).as_dict()},
    "gap_fdr": Rate(2, 75).as_dict(),
    "clean_twin_reports": {"reports": 1, "audits": 100},
    "distractor_reports": {"reports": 0, "audits": 20},
    "shared_reported_as_own": Rate(0, 20).as_dict(),
    "predicate_exact": Rate(66, 73).as_dict(),
    "interval_coverage": Rate(71, 75).as_dict(),
    "calls_per_confirmed_gap": 4_610.5,
    "audits": [{}] * 140,
}
LADDER = [
    {"rung": rung, "n": 3, "figures": {
        "search_success": {"median": share, "least": share - 0.03, "most": share + 0.02},
        "distinct_failure_types": {"median": types, "least": types - 1, "most": types + 2}}}
    for rung, share, types in (("random valid questions", 0.05, 4), ("prompt only", 0.15, 7), ("GRPO, gated", 0.9, 20))
]  # fmt: skip
FILES = {"search.json": SEARCH, "references.json": JUDGED, "selftest.json": PLANTED, "ladder.json": LADDER}


def finding_id(predicate: Predicate) -> str:
    """Of a mode in this run."""
    return content_id("finding", predicate.as_json())


def confirmed_run(path: Path, *, hostile: str | None = None, files: bool = True) -> Path:
    """Write the run of `synthetic_run`, then what a search adds to it.

    Args:
        hostile: To put where names, reasons, commands and answers of the ledger stand; None: the honest ones.
        files: Whether the JSON files are there too.
    """
    synthetic_run(path)
    rng = random.Random(3)
    rows: dict[str, list[dict[str, Any]]] = {}

    def put(table: str, **row: Any) -> str:
        rows.setdefault(table, []).append(row)
        return str(row["id"])

    with Run.open(path, CONFIG, ENVIRONMENT) as run:
        fresh = [run.save_picture(scene(rng, "purple", shape)) for shape in ("square", "circle", "triangle") * 4]

        def probe(name: str, picture: str, outcome: str, question: str) -> str:
            """One row in probes, and its answers and verdict."""
            found = put("probes", id=content_id(picture, name), picture_id=picture, source_id=picture,
                        question=question, action="question", pairing="Q*,I")  # fmt: skip
            said = hostile or ("blue" if outcome == "failure" else "purple")
            for place, model in enumerate((TARGET, *REFERENCES)):
                text = None if outcome == "void" and not place else "purple" if place else said
                put("answers", id=content_id(found, model), probe_id=found, role="reference" if place else "target",
                    model=model, wording=0, text=text, problem="timeout" if text is None else None)  # fmt: skip
            put("verdicts", id=found, outcome=outcome, consensus=None if outcome == "void" else "purple",
                dissent=None if outcome == "void" else float(outcome == "failure"))  # fmt: skip
            return found

        for predicate, state, reason, *figures in LEDGER:
            told = dict(zip(COLUMNS, figures, strict=True))
            mode = finding_id(predicate)
            outcomes = ["failure"] * told["hits"] + ["agreement"] * (told["asked"] - told["hits"])
            inside = [
                probe(f"{mode} {n}", fresh[n % 12], outcome, f"what colour is the shape at place {n} ?")
                for n, outcome in enumerate([*outcomes, *["void"] * told["void"]])
            ]
            beside = [
                probe(
                    f"{mode} beside {n}",
                    fresh[n % 12],
                    "failure" if n < told["base_hits"] else "agreement",
                    "what is it ?",
                )
                for n in range(told["base_asked"])
            ]
            for n, one in enumerate(inside):
                failed = None if n >= told["asked"] else n < told["hits"]
                again = n < told["again_hits"] if n < told["again_asked"] else None
                put("confirmations", id=content_id(mode, one), finding_id=mode, probe_id=one, role="inside",
                    failed=failed, failed_again=again)  # fmt: skip
            for n, one in enumerate(beside):
                put("confirmations", id=content_id(mode, one), finding_id=mode, probe_id=one, role="beside",
                    failed=n < told["base_hits"])  # fmt: skip
            put("findings", id=mode, name=hostile or predicate.words(), predicate=predicate.as_json(), state=state,
                reason=hostile or reason, failing=inside[: told["hits"]], passing=inside[told["hits"] : told["asked"]],
                **told)  # fmt: skip
            for kind, flips, command in (
                ("relevant", [True] * 19 + [False, None], "make the purple shape blue"),
                ("control", [False] * 20 + [True], "move the purple shape"),
            ):
                for n, flipped in enumerate(flips if predicate == PURPLE else ()):
                    picture = run.save_picture(scene(rng, "blue" if kind == "relevant" else "purple", "square"))
                    outcome = "agreement" if (kind == "relevant") == (flipped is True) else "failure"
                    after = probe(f"{kind} {n}", picture, outcome, f"what colour is the shape at place {n} ?")
                    put("causes", id=content_id(mode, kind, str(n)), finding_id=mode, kind=kind, before=inside[n],
                        after=after, command=hostile or command, changed_share=(40 + n) / 4096,
                        flipped=flipped)  # fmt: skip
        for table, found in rows.items():
            run.append(table, found)
        if files:
            for name, value in FILES.items():
                run.write_json(name, value)
            run.write_json("replays.json", _replays(hostile))
    return path


def _replays(hostile: str | None) -> dict[str, Any]:
    def cell(hits: int, verdict: str) -> dict[str, Any]:
        return {"inside": Rate(hits, 64, 1).as_dict(), "beside": Rate(2, 61).as_dict(), "verdict": verdict,
                "reason": hostile or f"{hits} of 64 probes fail"}  # fmt: skip

    names = (TARGET, hostile or OTHER)
    return {
        "models": [{"name": names[0], "model": names[0], "role": "target"},
                   {"name": names[1], "model": names[1], "role": "other"}],
        "findings": [
            {"id": finding_id(PURPLE), "name": "purple", "whose": hostile or f"shared by {OTHER}",
             "cells": [cell(41, "confirmed"), cell(38, "shared")]},
            {"id": finding_id(COUNTS), "name": "counts", "whose": hostile or f"the target's own: not shared by {OTHER}",
             "cells": [cell(24, "confirmed"), cell(1, "not shared")]},
        ],
        "similarity": [{"first": names[0], "second": names[1], "agree": Rate(101, 128).as_dict(), "kappa": 0.52,
                        "ci95": [0.36, 0.68]}],
    }  # fmt: skip
