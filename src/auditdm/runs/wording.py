"""Findings in words, by models: `words.json`. A proposer is shown some fresh probes of a finding, a ranker the others.

Source: `method.wording`.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from PIL import Image

from auditdm.backends.turns import at_length
from auditdm.config import AuditConfig
from auditdm.errors import ModelError
from auditdm.method.wording import (
    Shown,
    Worded,
    ask_for_descriptions,
    ask_whether_it_holds,
    best,
    descriptions_in,
    holds_in,
)
from auditdm.runs.auditor_training import Tell
from auditdm.runs.describing import LONGEST
from auditdm.runs.roles import Roles, loaded, model_from
from auditdm.stats import Rate
from auditdm.store import Run
from auditdm.types import Model

log = logging.getLogger(__name__)
FILE = "words.json"
SHOWN = 6  # failures that the proposer sees, and passes
KEPT_BACK = 24  # failures that the ranker sees, and passes
PROPOSED = 5  # descriptions of a finding
_SIDE, _BETWEEN = 224, 8  # pixels of a picture in the sheet, and between two


def describers(config: AuditConfig, roles: Roles) -> tuple[Model, Model]:
    """The proposer and the ranker of a configuration; one that does both is loaded once."""
    spec, ranks = config.confirmation.proposer, config.confirmation.ranker
    assert spec is not None, "nobody is to put findings in words"
    writer = loaded(roles.turns, partial(model_from, spec, seed=config.seed))
    ranker = writer if ranks is None else loaded(roles.turns, partial(model_from, ranks, seed=config.seed))
    proposer = at_length(writer, LONGEST)
    for role, model in (("confirmation.proposer", proposer), ("confirmation.ranker", ranker)):
        roles.spending.watch(role, model)
    return proposer, ranker


def word_findings(run: Run, load: Callable[[], tuple[Model, Model]], tell: Tell) -> dict[str, Any]:
    """Put every confirmed finding into a sentence, and say of how many failures and passes it holds.

    A finding that is in the file is passed over, so a search that was killed goes on where it stood.

    Args:
        run: Open for writing, after the confirmation.
        load: Gives the proposer, which writes descriptions, and the ranker, which says of which probes they hold, yes or
            no; called where a finding has no words yet.
        tell: Called with ("worded", {"done", "of"}) after each finding.

    Returns:
        What the file holds: by finding id `words` (None: there are none, and `why`), `of_failing` and `of_passing` (rates
        on probes that the proposer did not see), `proposed`, and the two models.

    Raises:
        StoreError: The disk refused.

    Cost: one reply of the proposer a finding, and at most `PROPOSED * 2 * KEPT_BACK` of the ranker. A model that cannot
        answer leaves the finding without words, and the reason stands in the file.
    """
    path = run.path / FILE
    known: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    waiting = [f["id"] for f in run.rows("findings") if f["state"] == "confirmed" and f["id"] not in known]
    if not waiting:
        return known
    proposer, ranker = load()
    fresh: defaultdict[str, dict[bool, list[str]]] = defaultdict(lambda: {True: [], False: []})
    for row in run.rows("confirmations"):
        if row["failed"] is not None and (row["role"] == "inside" or not row["failed"]):
            fresh[row["finding_id"]][row["failed"]].append(row["probe_id"])
    probes, shown = {p["id"]: p for p in run.rows("probes")}, _shown(run)
    for done, finding in enumerate(waiting, 1):
        failing, passing = ([i for i in fresh[finding][said] if i in shown] for said in (True, False))
        try:
            found = _worded(run, proposer, ranker, failing, passing, probes, shown)
        except ModelError as problem:
            log.warning("%s: no words for %s: %s", run.path, finding, problem)
            found = {"words": None, "why": str(problem)}
        known[finding] = {**found, "proposer": proposer.name, "ranker": ranker.name}
        run.write_json(FILE, known)
        tell("worded", {"done": done, "of": len(waiting)})
    return known


def _shown(run: Run) -> dict[str, Shown]:
    questions = {p["id"]: p["question"] for p in run.rows("probes")}
    return {
        v["id"]: Shown(question=questions[v["id"]], right=v["consensus"], said=v["target_answer"] or "nothing")
        for v in run.rows("verdicts")
        if v["consensus"] is not None and v["id"] in questions
    }


def _worded(
    run: Run,
    proposer: Model,
    ranker: Model,
    failing: Sequence[str],
    passing: Sequence[str],
    probes: Mapping[str, Mapping[str, Any]],
    shown: Mapping[str, Shown],
) -> dict[str, Any]:
    if min(len(failing), len(passing)) <= SHOWN:
        return {"words": None, "why": f"{len(failing)} failures and {len(passing)} passes: too few to keep some back"}

    def picture(probe: str) -> Image.Image:
        return run.picture(probes[probe]["picture_id"])

    rows = failing[:SHOWN], passing[:SHOWN]
    prompt = ask_for_descriptions([shown[i] for i in rows[0]], [shown[i] for i in rows[1]], PROPOSED)
    [reply] = proposer.generate([(sheet([[picture(i) for i in row] for row in rows]), prompt)])
    proposed = descriptions_in(reply.text or "", PROPOSED)
    if not proposed:
        return {"words": None, "why": reply.problem or f"the reply holds no list: {(reply.text or '')[:80]!r}"}
    kept = {True: failing[SHOWN:][:KEPT_BACK], False: passing[SHOWN:][:KEPT_BACK]}
    asked = [(words, failed, i) for words in proposed for failed in (True, False) for i in kept[failed]]
    answers = ranker.generate([(picture(i), ask_whether_it_holds(words, shown[i])) for words, _, i in asked])
    said: defaultdict[tuple[str, bool], list[bool | None]] = defaultdict(list)
    for (words, failed, _), answer in zip(asked, answers, strict=True):
        said[words, failed].append(None if answer.text is None else holds_in(answer.text))
    tried = [Worded(words=w, of_failing=_rate(said[w, True]), of_passing=_rate(said[w, False])) for w in proposed]
    chosen = best(tried)
    if chosen is None:
        return {"words": None, "why": "the ranker said neither yes nor no", "proposed": proposed}
    return {
        "words": chosen.words, "of_failing": chosen.of_failing.as_dict(), "of_passing": chosen.of_passing.as_dict(),
        "proposed": proposed,
    }  # fmt: skip


def sheet(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Rows of pictures on one white picture, each scaled to fit a square.

    Example:
        >>> sheet([[Image.new("RGB", (64, 32))] * 3, [Image.new("RGB", (8, 8))]]).size
        (704, 472)
    """
    step = _SIDE + _BETWEEN
    whole = Image.new("RGB", (step * max(map(len, rows)) + _BETWEEN, step * len(rows) + _BETWEEN), "white")
    for y, row in enumerate(rows):
        for x, one in enumerate(row):
            scale = _SIDE / max(one.size)
            fitted = one.convert("RGB").resize([max(1, round(side * scale)) for side in one.size])
            whole.paste(fitted, (_BETWEEN + x * step, _BETWEEN + y * step))
    return whole


def _rate(said: Sequence[bool | None]) -> Rate:
    measured = [s for s in said if s is not None]
    return Rate(sum(measured), len(measured), len(said) - len(measured))
