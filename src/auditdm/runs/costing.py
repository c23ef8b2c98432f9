"""What an audit will cost, reckoned before it: tokens, GPU-hours and dollars, each from a least to a most.

Source: ours. The table below is all that is assumed; `price` and `throughput` in the YAML take its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from auditdm.backends.specs import is_endpoint
from auditdm.backends.weights import Whereabouts, whereabouts
from auditdm.config import AuditConfig, ModelSpec, ToolSpec


class Span(NamedTuple):
    """From a least to a most."""

    least: float
    most: float

    def __mul__(self, other: Any) -> Span:
        by = other if isinstance(other, Span) else Span(other, other)
        return Span(self.least * by.least, self.most * by.most)

    def __add__(self, other: object) -> Span:
        assert isinstance(other, Span), "spans are added to spans"
        return Span(self.least + other.least, self.most + other.most)

    def at(self, rate: Span) -> Span:
        """How long so many take, at so many a second."""
        return Span(self.least / rate.most, self.most / rate.least)


NOTHING = Span(0.0, 0.0)
# Speeds are of one data-centre GPU (from an L4 or A10 to an H100) in bfloat16, with batches of 16 and more; those of
# tokens are divided by the model's billions of parameters.
ASSUMED: Mapping[str, Span] = {
    "probes per reply": Span(0.5, 1.0),  # the others are malformed, or were asked before
    # Of a call of the target in confirmation. In the sandbox 2.8 probes were posed, 0.9 replies written, 2.2 pictures described.
    "share of the budget that is spent": Span(0.5, 1.0),
    "probes posed for a call": Span(1.5, 4.0),
    "replies for a call": Span(0.2, 2.0),
    "descriptions for a call": Span(0.5, 3.0),
    "tokens of a description": Span(30, 160),
    "tokens of a picture": Span(256, 1280),
    "tokens of a question": Span(20, 60),
    "tokens of an instruction": Span(150, 400),  # to the auditor, or to a judge
    "tokens of a proposal": Span(40, 96),
    "tokens of an answer, at least": Span(3, 3),  # at most: max_new_tokens
    "tokens read a second": Span(20_000, 150_000),
    "tokens written a second": Span(1_000, 8_000),
    "tokens learnt a second": Span(4_000, 35_000),  # forward and backward, activations computed twice
    "seconds of drawing": Span(0.02, 0.08),  # a step of a picture of 1024 x 1024, per billion parameters
    "steps of a picture": Span(28, 50),  # where options.steps is not given
    "judgements left to a model": Span(0.05, 0.5),  # what rules do not decide
    "billions, at least": Span(0.5, 0.5),  # smaller models wait for the machine around them
}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one role will be asked, and what that takes. None is unknown, never nothing."""

    role: str
    spec: str
    on: str  # "GPU", "endpoint", or "yours" for a class whose needs are not known here
    place: str | None  # the folder, or the id on the hub
    revision: str | None  # a commit, where it is known without asking anybody
    billions: float | None  # parameters
    calls: Span
    tokens_in: Span | None  # None: pictures are made
    tokens_out: Span | None
    gpu_hours: Span | None  # None on an endpoint
    usd: Span | None  # None where no price is given, and on a GPU


def estimates(config: AuditConfig, replies: int, learnt: int) -> tuple[Estimate, ...]:
    """Reckon every role of an audit that a model fills; the repair is not part of it.

    Args:
        config: Of the audit.
        replies: Of the auditor, in training and discovery.
        learnt: How many of them it is trained on.

    Raises:
        ConfigError: A spec names nothing.

    Cost: reads headers of weights that are here.
    """
    probes = ASSUMED["probes per reply"] * replies
    shown = ASSUMED["tokens of a picture"] + ASSUMED["tokens of a question"]
    tested = ASSUMED["share of the budget that is spent"] * config.confirmation.budget
    posed, more = tested * ASSUMED["probes posed for a call"], tested * ASSUMED["replies for a call"]
    found = [
        _auditor(config.auditor, Span(replies, replies) + more, learnt),
        _model("target", config.target, probes + tested, shown),
    ]
    asked = probes * Span(1, len(config.wordings)) + posed
    found += [_model(f"references[{n}]", r, asked, shown) for n, r in enumerate(config.references)]
    if config.confirmation.budget:
        described = tested * ASSUMED["descriptions for a call"]
        written = ASSUMED["tokens of a description"]
        found[2] = _both(found[2], _model("references[0]", config.references[0], described, shown, written))
    found += _judges(config, probes + posed)
    weights = config.actions
    for role, action, maker in (("generator", "caption", config.generator), ("editor", "edit", config.editor)):
        share = {str(key): value for key, value in weights.items()}.get(action, 0.0) / sum(weights.values())
        if maker is not None and share and maker.name != "sandbox":
            found.append(_maker(role, maker, (probes + more) * share))
    return tuple(found)


def totals(found: tuple[Estimate, ...]) -> dict[str, Any]:
    """Sums of what is known, None where nothing is, beside the roles of which it is unknown."""
    told: dict[str, Any] = {}
    for key, there in (("gpu_hours", False), ("usd", True)):
        spans = {e.role: getattr(e, key) for e in found if (e.on == "endpoint") is there}
        known = [span for span in spans.values() if span is not None]
        told[key] = sum(known, NOTHING) if known else None
        told[f"{key}_unknown"] = [role for role, span in spans.items() if span is None]
    return told


def as_plain(found: tuple[Estimate, ...]) -> dict[str, Any]:
    """As plain values, for JSON, with what was assumed."""
    return {"estimates": [asdict(e) for e in found], "total": totals(found), "assumed": dict(ASSUMED)}


def _both(one: Estimate, other: Estimate) -> Estimate:
    """Two errands of one role; what is unknown of either is unknown of both."""

    def summed(here: Span | None, there: Span | None) -> Span | None:
        return None if here is None or there is None else here + there

    return replace(
        one,
        calls=one.calls + other.calls,
        tokens_in=summed(one.tokens_in, other.tokens_in),
        tokens_out=summed(one.tokens_out, other.tokens_out),
        gpu_hours=summed(one.gpu_hours, other.gpu_hours),
        usd=summed(one.usd, other.usd),
    )


def _auditor(spec: ModelSpec, replies: Span, learnt: int) -> Estimate:
    read = ASSUMED["tokens of a picture"] + ASSUMED["tokens of an instruction"]
    written = ASSUMED["tokens of a proposal"]
    return _model("auditor", spec, replies, read, written, (read + written) * learnt)


def _model(
    role: str, spec: ModelSpec, calls: Span, read: Span, written: Span | None = None, learnt: Span = NOTHING
) -> Estimate:
    """A model that is asked so often; `read`, `written` are tokens of a call, `learnt` of the whole training."""
    if written is None:
        written = Span(min(ASSUMED["tokens of an answer, at least"].least, spec.max_new_tokens), spec.max_new_tokens)
    tokens_in, tokens_out = calls * read, calls * written
    there = is_endpoint(spec.model)
    seen = None if there else whereabouts("model", spec.model, spec.options)
    return Estimate(
        role=role, spec=spec.model, calls=calls, tokens_in=tokens_in, tokens_out=tokens_out,
        gpu_hours=None if there else _hours(spec.throughput, seen, calls, tokens_in, tokens_out, learnt),
        usd=_price(spec, tokens_in, tokens_out) if there else None,
        **_seen(seen, there, spec.options),
    )  # fmt: skip


def _hours(
    throughput: float | None, seen: Whereabouts | None, calls: Span, read: Span, written: Span, learnt: Span
) -> Span | None:
    billions = max(seen.billions, ASSUMED["billions, at least"].least) if seen and seen.billions else None
    if (throughput is None or learnt != NOTHING) and billions is None:
        return None
    if throughput is not None:
        spent = calls * (1 / throughput)
    else:
        spent = (read.at(ASSUMED["tokens read a second"]) + written.at(ASSUMED["tokens written a second"])) * billions
    learning = learnt.at(ASSUMED["tokens learnt a second"]) * billions if billions is not None else NOTHING
    return (spent + learning) * (1 / 3600)


def _price(spec: ModelSpec, read: Span, written: Span) -> Span | None:
    known = spec.options
    prices = (spec.price.input, spec.price.output) if spec.price else (None, None)
    usd_in, usd_out = known.get("usd_per_million_in", prices[0]), known.get("usd_per_million_out", prices[1])
    return None if usd_in is None or usd_out is None else read * (usd_in / 1e6) + written * (usd_out / 1e6)


def _judges(config: AuditConfig, probes: Span) -> list[Estimate]:
    """The models that a cascade asks: both orders of every pair of answers that its rules leave open."""
    count, options = len(config.references), config.judge.options
    calls = probes * (count * (count + 1)) * ASSUMED["judgements left to a model"]
    read, found = ASSUMED["tokens of a question"], []
    if (named := options.get("entailment")) and isinstance(named, str):
        found.append(_model("judge.entailment", ModelSpec(model=named), calls, read, Span(0, 0)))
    if named := options.get("model"):
        spec = ModelSpec.model_validate(named)
        told = ASSUMED["tokens of a picture"] + ASSUMED["tokens of an instruction"]
        found.append(_model("judge.model", spec, calls, told))
    return found


def _maker(role: str, spec: ToolSpec, calls: Span) -> Estimate:
    """A pipeline of pictures; an editor reads the picture too, which doubles what it works on."""
    seen, told = whereabouts(role, spec.name, spec.options.get("options") or {}), spec.options
    hours = None
    if spec.throughput is not None:
        hours = calls * (1 / (3600 * spec.throughput))
    elif seen is not None and seen.billions is not None:
        steps = Span(told["steps"], told["steps"]) if told.get("steps") else ASSUMED["steps of a picture"]
        size = (told.get("side_px", 1024) / 1024) ** 2 * (2 if role == "editor" else 1)
        hours = calls * steps * ASSUMED["seconds of drawing"] * (seen.billions * size / 3600)
    return Estimate(
        role=role, spec=spec.name, calls=calls, tokens_in=None, tokens_out=None, gpu_hours=hours, usd=None,
        **_seen(seen, False, spec.options.get("options") or {}),
    )  # fmt: skip


def _seen(seen: Whereabouts | None, there: bool, options: Mapping[str, Any]) -> dict[str, Any]:
    asked = options.get("revision")
    return {
        "on": "endpoint" if there else "yours" if seen is None else "GPU",
        "place": seen.place if seen else None,
        "revision": (seen.revision if seen else None) or (str(asked) if asked else None),
        "billions": seen.billions if seen else None,
    }
