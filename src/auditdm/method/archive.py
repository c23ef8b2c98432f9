"""What has been found so far, by what is asked about, so that the auditor is paid for what is new.

A cell is the form of a question and the kind of the agreed answer: "what size is the large circle ?" and "what size is
the red star ?", both answered "none", are one cell. The form keeps the words that say what is asked and blanks the
words that say of what. No string, no picture and no skill label enters, and no word is counted: the cell of a hit
depends on that hit alone, so an archive that is rebuilt in another order is the same.

Source: ours, after MAP-Elites (arXiv:1504.04909) and Rainbow Teaming (arXiv:2402.16822). Differs: cells are read off the
words instead of being asked of a model.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.sparse import csr_array

_WORD = re.compile(r"\w+")
_OPENERS = frozenset({"what", "which", "whose", "how"})  # the word after them says what is asked: what colour, how many
# The words of grammar: a question that changes one of them asks something else.
_GRAMMAR = """
a an the this that these those it its he she they them his her their there here i you your we us our
who whom where when why what which whose how
is are was were be been am do does did has have had can could will would should may might must
and or but nor not no if than as so very too only also
of in on at to from by with without for into onto over under above below behind beside between near
next around across through inside outside along against among
any some all each every both either neither other another same more most less least many much few fewer
left right up down
"""
_CLOSED = frozenset(_GRAMMAR.split())
_NOTHING = frozenset({"none", "nothing", "nobody", "no one", "0", "zero", "cannot say", "unanswerable"})


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is asked about."""

    form: str  # of the question: "what size is the _"
    answer: str  # the kind of the agreed answer: yes, no, nothing, digit, number, letter, words, or a shape such as 9:9


def form(question: str) -> str:
    """Blank what a question is asked of.

    Kept are the words of grammar; the word after what, which, whose or how; the word before "of"; a comparative before
    "than"; and words in -ing and -est. Blanks side by side are one.

    Source: ours. English only: in another language all is blank, and only the kind of the answer is told apart.

    Example:
        >>> form("What size is the large red circle?"), form("Is the cat left of the dog?"), form("What is the man holding?")
        ('what size is the _', 'is the _ left of the _', 'what is the _ holding')
    """
    words = ["", *_WORD.findall(question.lower()), ""]
    kept: list[str] = []
    for n, word in enumerate(words[1:-1], start=1):
        before, after = words[n - 1], words[n + 1]
        says = (
            word in _CLOSED
            or before in _OPENERS
            or after == "of"
            or (after == "than" and word.endswith("er"))
            or (len(word) > 4 and word.endswith(("ing", "est")))
        )
        if says or kept[-1:] != ["_"]:
            kept.append(word if says else "_")
    return " ".join(kept)


def answer_kind(answer: str) -> str:
    """Say what kind of answer it is.

    Example:
        >>> [answer_kind(a) for a in ("Yes.", "none", "7", "45", "10:30", "K", "dark blue", "row4")]
        ['yes', 'nothing', 'digit', 'number', '9:9', 'letter', 'words', 'a9']
    """
    plain = " ".join(answer.lower().split()).strip(" .,;!?\"'")
    if plain in ("yes", "no"):
        return plain
    if plain in _NOTHING or not plain:
        return "nothing"
    if plain.isdigit():
        return "digit" if len(plain) == 1 else "number"
    if len(plain) == 1:
        return "letter"
    if any(c.isdigit() for c in plain):
        return re.sub(r"\d+", "9", re.sub(r"[^\W\d_]+", "a", plain))[:12]
    return "words"


@lru_cache(maxsize=1 << 16)
def cell_of(question: str, consensus: str) -> Cell:
    """The cell of a question and the answer agreed upon."""
    return Cell(form=form(question), answer=answer_kind(consensus))


class Archive:
    """All hits of a trajectory, by cell and by their words.

    The novelty of a hit is a product. By cell: a cell is worth `fair` of all hits; one that has the share s > fair pays
    fair / s, so that asking it more often earns nothing more. By words: two hits are near when the words of their question
    and of the agreed answer overlap by at least `alike` (Jaccard); the pay falls with the share of hits that are near,
    down to `floor`. Shares are those among all other hits, remembered ones and the batch's. A confirmed cell pays nothing.

    Source: ours, after the references above and curiosity-driven red teaming (arXiv:2402.19464). Differs: words instead
    of an embedding; a share that is due instead of a bonus.

    Example:
        >>> archive = Archive(fair=0.5)
        >>> archive.novelty([("How many dogs?", "2"), ("How many dogs?", "2"), ("What time is it?", "12:00")])
        [0.5, 0.5, 1.0]
        >>> archive.confirm([cell_of("How many cats?", "3")])
        >>> archive.novelty([("How many dogs?", "4")])
        [0.0]
    """

    def __init__(
        self,
        *,
        memory: int = 256,
        fair: float = 0.2,
        alike: float = 0.5,
        saturation: float = 0.3,
        floor: float = 0.5,
    ) -> None:
        """Start empty.

        Args:
            memory: The latest hits that shares are taken of, 0 or more.
            fair: Share of the hits up to which a cell pays in full, in (0, 1]; 1 pays all cells alike.
            alike: Least Jaccard overlap of two hits that are near, in (0, 1].
            saturation: Share of the other hits at which nearness earns only the floor, in (0, 1].
            floor: What nearness leaves of the pay at least, in [0, 1]; 1 leaves words out.
        """
        self.memory, self.fair = memory, fair
        self.alike, self.saturation, self.floor = alike, saturation, floor
        self._confirmed: set[Cell] = set()
        self._numbers: dict[str, int] = {}  # of words and cells
        self._cells, self._ends, self._words = array("i"), array("i", [0]), array("i")  # rows of hits, for the shares

    def confirm(self, cells: Iterable[Cell]) -> None:
        """Stop the pay of these cells."""
        self._confirmed.update(cells)

    def remember(self, hits: Iterable[tuple[str, str]]) -> None:
        """Archive hits, oldest first: pairs of a question and its consensus."""
        for question, consensus in hits:
            cell = cell_of(question, consensus)
            self._words.extend(sorted({self._number(w) for w in _WORD.findall(f"{question} {consensus}".lower())}))
            self._ends.append(len(self._words))
            self._cells.append(self._number(f"{cell.form}|{cell.answer}"))

    def novelty(self, hits: Sequence[tuple[str, str]]) -> list[float]:
        """Say how new each hit of a batch is, and archive the batch.

        Args:
            hits: N pairs of a question and its consensus.

        Returns:
            N values in [0, 1], whatever the order of the batch; 0 iff the cell is confirmed or `floor` is 0.

        Cost: words of the memory x batch multiplications; 10 ms for 64 among 10,000.
        """
        self.remember(hits)
        if not hits:
            return []
        first = max(0, len(self._cells) - len(hits) - self.memory)
        others = max(1, len(self._cells) - first - 1)
        cells = np.array(self._cells[first:], np.int32)
        batch = cells[-len(hits) :]
        same = np.bincount(cells)[batch] - 1  # every hit is in its own cell, and near to itself
        by_cell = np.minimum(1.0, self.fair * others / np.maximum(same, 1e-9))
        by_words = 1.0 - (self._near(first, len(hits)) - 1) / others / self.saturation
        new = by_cell * (self.floor + (1 - self.floor) * np.maximum(0.0, by_words))
        pays = [cell_of(*hit) not in self._confirmed for hit in hits]
        return [float(n) if p else 0.0 for n, p in zip(new, pays, strict=True)]

    def _near(self, first: int, count: int) -> np.ndarray[Any, Any]:
        """Of each of the last `count` hits, how many hits from `first` on are near."""
        ends = np.array(self._ends[first:], np.int32)
        indices = np.array(self._words[ends[0] :], np.int32)
        ends -= ends[0]
        rows = csr_array((np.ones(len(indices), np.float32), indices, ends), shape=(len(ends) - 1, len(self._numbers)))
        share = np.float32(self.alike / (1 + self.alike))  # shared >= alike * union, as a share of both sizes
        least = share * np.diff(ends).astype(np.float32)
        shared = rows @ np.ascontiguousarray(rows[len(ends) - 1 - count :].toarray().T)
        shared -= least[:, None]
        return np.asarray(np.count_nonzero(shared >= least[None, -count:] - 1e-4, axis=0))

    def _number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))
