"""What an audit will ask and cost, counted before anybody is asked: `auditdm audit CONFIG --dry-run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from auditdm.backends.specs import load_pool, resolved
from auditdm.config import AuditConfig, ModelSpec
from auditdm.runs.costing import Estimate, as_plain, estimates
from auditdm.runs.gathering import is_gathered
from auditdm.runs.practice import MOST_ASKED
from auditdm.runs.probing import MOST_POSED, MOST_REPLIES
from auditdm.runs.quorum import TRIED
from auditdm.runs.trainer_options import check_options
from auditdm.runs.wording import KEPT_BACK, PROPOSED


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a run. Counts are exact, or what is expected by chance where `about` says so, or an upper bound."""

    name: str
    replies: int  # of the auditor
    pictures: int  # drawn or edited, about
    answers: int  # of target and references, at most: what repeats is asked once, and a malformed reply asks nothing
    steps: int = 0  # of an optimiser


@dataclass(frozen=True)
class Plan:
    """Who takes part, on how many pictures, and what every stage costs in calls."""

    roles: dict[str, str]  # role -> what its spec resolves to
    pictures: int
    held_back: int  # of them, from training: for discovery and confirmation
    stages: tuple[PlannedStage, ...]
    estimates: tuple[Estimate, ...] = ()  # of the audit; what `rectify` adds is not in them
    notes: tuple[str, ...] = ()  # what the run will not be able to say, and why; what is not counted

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "roles": self.roles,
            "pictures": self.pictures,
            "held_back": self.held_back,
            "stages": [asdict(s) for s in self.stages],
            "answers": sum(s.answers for s in self.stages),
            "notes": list(self.notes),
            **as_plain(self.estimates),
        }


def plan(config: AuditConfig) -> Plan:
    """Resolve every role without loading a model, read the pool, and count.

    Args:
        config: Of an audit.

    Returns:
        The plan. Answers count target and references, and the second asking of every probe in other words, as if all
        were failures. Hours and dollars are estimates, by the table in `costing`.

    Raises:
        ConfigError: A spec names nothing, the pool holds too few pictures, or an option is refused by its owner.

    Cost: decodes the pool once. No model is loaded, nothing is fetched or written.
    """
    check_options(config)
    roles = {
        "auditor": resolved("model", config.auditor.model),
        "target": resolved("model", config.target.model),
        **{f"references[{n}]": resolved("model", r.model) for n, r in enumerate(config.references)},
        "judge": resolved("judge", config.judge.name),
        **{role: resolved("model", spec.model) for role, spec in _describers(config).items()},
        **{role: resolved(role, spec) for role, spec in _makers(config).items()},
    }
    pictures = len(load_pool(config.images.path, config.images.limit))
    held_back = min(max(1, round(pictures * config.images.holdout)), max(1, pictures - 1))
    audit, confirming = _audit(config), _confirming(config, held_back)
    learnt = sum(s.replies for s in audit if s.steps)
    reckoned = estimates(config, sum(s.replies for s in audit), learnt)
    return Plan(roles, pictures, held_back, (*audit, *confirming, *_repair(config)), reckoned, tuple(_notes(config)))


def _notes(config: AuditConfig) -> Iterator[str]:
    if len(config.wordings) < 2:
        yield (
            "There is one wording, so no failure is asked again: chance errors of the target or of a reference may pass for "
            "failures, and none can be told to be noise. Give a second one under `wordings`."
        )
    if len(config.references) < 2:
        yield "There is one reference, so nothing is agreed: a failure says only that two models differ. Give two more."
    if config.confirmation.budget and config.confirmation.pairs and config.editor is not None:
        yield (
            f"Not counted: for each finding, the edits that look for its cause until there are {config.confirmation.pairs} "
            "pairs, and the answers to them (confirmation.pairs: 0 leaves it out)."
        )
    if config.confirmation.budget and config.confirmation.proposer is not None:
        yield (
            "Not counted: for each finding, one reply of confirmation.proposer and at most "
            f"{2 * KEPT_BACK * PROPOSED} of the ranker."
        )
    if not config.confirmation.budget:
        yield "confirmation.budget is 0, so no failure mode is named or tested: the run will have failures and no findings."


def _describers(config: AuditConfig) -> dict[str, ModelSpec]:
    found = {"confirmation.proposer": config.confirmation.proposer, "confirmation.ranker": config.confirmation.ranker}
    return {role: spec for role, spec in found.items() if spec is not None}


def _makers(config: AuditConfig) -> dict[str, str]:
    found = {"generator": config.generator, "editor": config.editor}
    return {role: spec.name for role, spec in found.items() if spec is not None}


def _audit(config: AuditConfig) -> list[PlannedStage]:
    arms = ["trained", *(["paper_reward"] if "paper_reward" in config.compare else [])]
    steps, batch = config.training.steps, config.training.batch
    trained = [_proposing(config, f"training {arm}", steps * batch, steps) for arm in arms if steps]
    asking: Sequence[str] = ("trained", *config.compare)
    tried = [PlannedStage("quorum", 0, 0, TRIED * len(config.references))] if config.quorum == "auto" else []
    return tried + trained + [_proposing(config, f"discovery {arm}", config.discovery.probes) for arm in asking]


def _confirming(config: AuditConfig, held_back: int) -> list[PlannedStage]:
    """At most; the search for causes is left out, for the number of findings is not known before."""
    budget, references, again = config.confirmation.budget, len(config.references), len(config.wordings) - 1
    if not budget:
        return []
    replies = MOST_REPLIES * budget
    changed = replies if config.actions.get("caption") or config.actions.get("edit") else 0
    described = held_back + budget + 2 * config.discovery.probes + changed  # by the first reference
    answers = budget + MOST_POSED * budget * references + budget * references * again + described
    return [PlannedStage("confirmation", replies, changed, answers)]


def _proposing(config: AuditConfig, name: str, replies: int, steps: int = 0) -> PlannedStage:
    weights = config.actions
    changed = (weights.get("caption", 0.0) + weights.get("edit", 0.0)) / sum(weights.values())
    references, wordings = len(config.references), len(config.wordings)
    answers = replies * (1 + references + references * (wordings - 1))
    return PlannedStage(name, replies, round(replies * changed), answers, steps)


def _repair(config: AuditConfig) -> list[PlannedStage]:
    """What `rectify` adds for a single failure mode, and for the replay; the number of modes is not known before.

    Where the training set is gathered instead, what the auditors write for it; the rows of a labelled set are not counted
    before they are read.
    """
    each = 1 + len(config.references) * len(config.wordings)
    if is_gathered(config):
        replies = config.rectify.probes * (1 + config.rectify.checkpoints)
        return [PlannedStage("gathering, a labelled set apart", replies, 0, replies * each)]
    rows = round((config.rectify.rows or 0) * (1 + config.rectify.replay))
    return [
        PlannedStage("practice, per failure mode", 0, 0, MOST_ASKED * config.rectify.per_mode * each),
        PlannedStage("practice, the pool's own questions", 0, 0, rows * each),
    ]
