"""Models by benchmarks, on the same questions, with the true answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from auditdm.runs.auditor_training import Tell
from auditdm.runs.stages import quiet
from auditdm.stats import Rate
from auditdm.store import Run
from auditdm.types import Example, Judge, Model, content_id


def evaluate(
    models: Mapping[str, Model],
    examples: Sequence[Example],
    judge: Judge,
    run: Run | None = None,
    *,
    tell: Tell = quiet,
) -> dict[str, dict[tuple[str, str], Rate]]:
    """Ask every model every question, the models side by side, and count the right answers.

    Args:
        models: By the name that the table gives them ("before", "after", ...).
        examples: N questions with their answers, of any number of suites.
        judge: Decides whether an answer is the right one; what it cannot tell is void.
        run: Where the scores go, table `scores`; a model that stands there is not asked again. None: nowhere.
        tell: Called with ("evaluated", {"model": name}) after each model.

    Returns:
        By model, by (suite, slice): the rate of right answers. (suite, "") is the whole suite, slices as often as they
        come, and (suite, "elsewhere") what lies in no slice, where a suite has slices.

    Cost: N answers per model.
    """
    known: dict[str, dict[tuple[str, str], Rate]] = {name: {} for name in models}
    for r in run.rows("scores") if run else ():
        if r["model"] in known:
            known[r["model"]][r["suite"], r["slice"]] = Rate(r["hits"], r["asked"], r["void"])
    asked = [(e.image, e.question) for e in examples]
    new = {name: model for name, model in models.items() if not known[name]}
    with ThreadPoolExecutor(max(1, len(new))) as asking:
        for name, answers in zip(new, asking.map(lambda model: model.generate(asked), new.values()), strict=True):
            said = [
                (e.question, a.text, e.answer) for e, a in zip(examples, answers, strict=True) if a.text is not None
            ]
            judged = iter(judge.same(said))
            right = [None if a.text is None else next(judged) for a in answers]
            known[name] = _rates(examples, right)
            if run:
                run.append("scores", [
                    {"id": content_id(name, suite, part), "model": name, "suite": suite, "slice": part,
                     "hits": rate.hits, "asked": rate.asked, "void": rate.void}
                    for (suite, part), rate in known[name].items()
                ])  # fmt: skip
            tell("evaluated", {"model": name})
    return known


def _rates(examples: Sequence[Example], right: Sequence[bool | None]) -> dict[tuple[str, str], Rate]:
    sliced = {e.suite for e in examples if e.slice}
    kept: dict[tuple[str, str], list[bool | None]] = defaultdict(list)
    for e, r in zip(examples, right, strict=True):
        if not e.extra:
            kept[e.suite, ""].append(r)
        if e.suite in sliced:
            kept[e.suite, e.slice or "elsewhere"].append(r)
    return {
        key: Rate(hits=sum(r is True for r in of), asked=sum(r is not None for r in of), void=of.count(None))
        for key, of in kept.items()
    }
