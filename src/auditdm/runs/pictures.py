"""The pool of an audit, split: pictures for training the auditor, and pictures that it has never seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL.Image import Image

from auditdm.backends.specs import load_pool
from auditdm.config import AuditConfig
from auditdm.errors import ConfigError
from auditdm.store import Run
from auditdm.types import Source, content_id


class Pictures(Mapping[str, Image]):
    """Pictures by source id, decoded when they are asked for."""

    def __init__(self, pool: Sequence[Source]) -> None:
        self._pool = pool
        ids: Sequence[str] = pool.ids if hasattr(pool, "ids") else [s.id for s in pool]
        self._place = {source_id: n for n, source_id in enumerate(ids)}

    def __getitem__(self, source_id: str) -> Image:
        """Decode one picture."""
        return self._pool[self._place[source_id]].image

    def __iter__(self) -> Iterator[str]:
        """Ids in the pool's order."""
        return iter(self._place)

    def __len__(self) -> int:
        """How many pictures."""
        return len(self._place)


@dataclass(frozen=True)
class Split:
    """A pool in parts that share no picture."""

    pictures: Pictures
    training: tuple[str, ...]  # source ids, in an order that only the seed and the pictures decide
    discovery: tuple[str, ...]
    questions: Mapping[str, str | None]
    confirmation: tuple[str, ...] = ()  # kept from discovery too, for what is to be confirmed


def split_pool(config: AuditConfig, run: Run) -> Split:
    """Read the pool, write its sources into the run folder, and keep a share from training, some of it from discovery too.

    Raises:
        ConfigError: Nothing there, or fewer than two pictures.
    """
    pool = load_pool(config.images.path, config.images.limit)
    if len(pool) < 2:
        raise ConfigError(f"{config.images.path}: {len(pool)} pictures; an audit needs one to train on and one to ask.")
    skipped = [{"picture": str(name), "why": str(why)} for name, why in getattr(pool, "skipped", ())]
    run.write_json("skipped_pictures.json", skipped)
    pictures, questions = keep(pool, run)
    order = sorted(pictures, key=lambda i: content_id(str(config.seed), i))
    kept = min(max(1, round(len(order) * config.images.holdout)), len(order) - 1)
    fresh = min(round(kept * config.images.confirmation), kept - 1) if config.confirmation.budget else 0
    return Split(pictures, tuple(order[kept:]), tuple(order[fresh:kept]), questions, tuple(order[:fresh]))


def keep(pool: Sequence[Source], run: Run) -> tuple[Pictures, dict[str, str | None]]:
    """Write the sources of a pool into the run folder; returns its pictures and its own questions by source id."""
    known = run.ids("sources")
    rows = []
    for source in pool:
        if source.id not in known:
            run.save_picture(source.image)
        rows.append({"id": source.id, "origin": source.origin, "question": source.question})
    run.append("sources", rows)
    return Pictures(pool), {str(r["id"]): r["question"] for r in rows}
