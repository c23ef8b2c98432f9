"""How the zoo was trained, from nothing: `make zoo`.

Three steps per model, as the makers of real vision-language models take them:
    1. a SigLIP tower learns to tell every patch's thing and place (dense labels), then is frozen;
    2. its projector is aligned: a patch's features become the sum of the embeddings of the words that tell it;
    3. projector and language model learn questions packed behind one picture, each seeing the picture and itself only,
       with a caption in random order beside them. Losses are on replies alone.

Shapes: B pictures, P patches (16), D tower width, L length of a packed row.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from transformers import AutoModelForImageTextToText

from auditdm.sandbox import families
from auditdm.sandbox.changes import AND, thing_in_words
from auditdm.sandbox.gap_language import random_valid
from auditdm.sandbox.gaps import Gap, gap_of
from auditdm.sandbox.language import (
    ALL_SKILLS,
    FALSE_PREMISE,
    answer,
    garbled,
    plural_of,
    random_question,
    unclear_question,
)
from auditdm.sandbox.renderer import SIDE_PX, render
from auditdm.sandbox.teaching_auditor import requests
from auditdm.sandbox.world import (
    CELLS,
    COLOURS,
    COLUMNS,
    FACES,
    NOUNS,
    PATTERNS,
    ROWS,
    SIGNS,
    SIZES,
    Scene,
    Thing,
    random_scene,
    random_thing,
    scene_of_signs,
)
from auditdm.sandbox.zoo import ZOO, model_folder

log = logging.getLogger(__name__)

WEIGHTS: dict[str, float] = {  # how often each skill is practised at first; what is not here was not taught yet
    "exist": 1.4, "count_all": 1.2, "count": 1.6, "negation": 0.8, "colour": 1.2, "shape": 1.2, "size": 1.0,
    "pattern": 1.0, "digit": 1.6, "letter": 1.6, "number": 2.4, "clock": 1.8, "arrow": 1.4, "chart_tallest": 1.6,
    "chart_shortest": 1.6, "row": 1.2, "column": 1.2, "at": 1.2, "left_of": 1.0, "above": 1.0, "larger": 0.7,
    "corner": 0.5, "border": 0.5, FALSE_PREMISE: 2.0,
}  # fmt: skip
SLOW_SKILLS: dict[str, float] = {  # the second round practises what comes late
    **dict.fromkeys(WEIGHTS, 0.6), "count": 2.0, "negation": 1.6, "column": 2.5, "at": 2.5, "left_of": 2.0, "above": 1.2,
    "larger": 1.0, "corner": 1.2, "border": 1.2, "number": 1.2, FALSE_PREMISE: 1.6,
}  # fmt: skip
PLACES: dict[str, float] = {  # the sixth round is about places, and keeps the rest
    **dict.fromkeys(WEIGHTS, 0.5), "at": 6.0, "above": 5.0, "left_of": 3.0, "count": 1.0, "negation": 1.0,
}  # fmt: skip
AUDITOR_ODDS: dict[
    str, float
] = {  # how often the auditor is taught to ask each skill: rarely what references may not know
    **dict.fromkeys(WEIGHTS, 1.0),
    **dict.fromkeys(("negation", "column", "at", "left_of", "above", "larger", "corner", "border"), 0.25),
    **dict.fromkeys(("digit", "letter", "number", "clock", "arrow"), 4.0),  # few pictures have each sign
    **dict.fromkeys(("chart_tallest", "chart_shortest"), 2.0),
    FALSE_PREMISE: 0.4,
}
WIDE_ODDS: dict[str, float] = {  # every skill of the language; more where few pictures support it
    **dict.fromkeys(ALL_SKILLS, 1.0),
    **dict.fromkeys(("digit", "letter", "number", "clock", "arrow", "chart_tallest", "chart_shortest"), 4.0),
    "odd_one_out": 8.0,
    "sum": 30.0,
}
_MORE_OF_GAPS = 0.2  # tries at a corrupted slice, so that rare slices are learned wrong in time
_FACE_LABELS = ("", *sorted({f"{noun} {face}" for noun in SIGNS for face in FACES[noun]}))
_LABELS: dict[str, tuple[str, ...]] = {
    "noun": ("", *NOUNS), "face": _FACE_LABELS, "colour": ("", *COLOURS), "size": ("", *SIZES),
    "pattern": ("", *PATTERNS), "row": ROWS, "column": COLUMNS,
}  # fmt: skip


# ---------------------------------------------------------------- 1. the tower


def train_tower(tower: nn.Module, *, steps: int, seed: int, note: Callable[[dict[str, Any]], None], save: Path) -> None:
    """Teach a SigLIP tower to tell every patch's thing and place; in place.

    Args:
        tower: Takes `pixel_values` (B, 3, 64, 64) in [-1, 1], gives `last_hidden_state` (B, P, D).
        steps: Of 64 pictures each.
        seed: Of the pictures and the heads.
        note: Called every 200 steps with the accuracy per label on the batch.
        save: Where its weights go.
    """
    rng = random.Random(seed)
    torch.manual_seed(seed)
    heads = nn.ModuleDict({k: nn.Linear(families.TOWER_WIDTH, len(v)) for k, v in _LABELS.items()})
    weights = [*tower.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.5e-3, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        boards = [_board(rng) for _ in range(64)]
        pixels = _pixels(np.stack([pixels for pixels, _ in boards]))
        features = tower(pixel_values=pixels).last_hidden_state
        labels = {
            k: torch.tensor([[_label(k, t, c) for t, c in zip(b, CELLS, strict=True)] for _, b in boards])
            for k in _LABELS
        }
        logits = {k: head(features) for k, head in heads.items()}
        loss = torch.stack([cross_entropy(logits[k].flatten(0, 1), labels[k].flatten()) for k in _LABELS]).sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        if step % 200 == 199:
            taken = labels["noun"] > 0
            right = {k: (logits[k].argmax(-1) == labels[k])[taken].float().mean().item() for k in _LABELS}
            signs = taken & (labels["face"] > 0)
            right["face"] = (logits["face"].argmax(-1) == labels["face"])[signs].float().mean().item()
            note({"stage": "tower", "step": step + 1, "loss": loss.item(), **right})
    torch.save(tower.state_dict(), save)


def _board(rng: random.Random) -> tuple[np.ndarray, list[Thing | None]]:
    """A crowded picture (or, as often, an ordinary one) and what stands in each cell."""
    if rng.random() < 0.5:
        scenes = [random_scene(rng)]
    else:
        things = [
            random_thing(rng, c, rng.choice((None, *SIGNS, None, *SIGNS[:3]))) for c in CELLS if rng.random() < 0.6
        ]
        scenes = [Scene(tuple(things[n : n + 6])) for n in range(0, len(things), 6)]
    pixels, where = np.asarray(render(random_scene(rng))) * 0, {}
    for n, scene in enumerate(scenes):
        drawn = np.asarray(render(scene))
        for row, col in CELLS:
            t = next((t for t in scene.things if t.cell == (row, col)), None)
            if t is not None or n == 0:
                here = np.s_[(row - 1) * 16 : row * 16, (col - 1) * 16 : col * 16]
                pixels[here] = drawn[here]
                where[(row, col)] = t
    if not scenes:
        return np.asarray(_empty()), [None] * len(CELLS)
    return pixels, [where.get(c) for c in CELLS]


def _empty() -> np.ndarray:
    from auditdm.sandbox.renderer import PAPER

    return np.full((SIDE_PX, SIDE_PX, 3), PAPER, np.uint8)


def _label(kind: str, thing: Thing | None, cell: tuple[int, int]) -> int:
    if kind in ("row", "column"):
        return cell[0 if kind == "row" else 1] - 1
    if thing is None:
        return 0
    said = (f"{thing.noun} {thing.face}" if thing.face else "") if kind == "face" else getattr(thing, kind)
    return _LABELS[kind].index(said)


def _pixels(pictures: np.ndarray) -> Tensor:
    """(B, 64, 64, 3) uint8 to (B, 3, 64, 64) in [-1, 1], as the image processors do."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


# ---------------------------------------------------------------- 2. features and alignment


@dataclass(frozen=True)
class Pictures:
    """Training scenes and what the frozen tower makes of them, so that it has to look once."""

    scenes: list[Scene]
    features: Tensor  # (N, P, D) float16: the projector's input


def look_at(model: Any, *, count: int, seed: int, draw: Callable[[random.Random], Scene] = random_scene) -> Pictures:
    """Show the tower `count` scenes. Cost: about 1 ms and 5 KiB a scene."""
    rng = random.Random(seed)
    scenes = [draw(rng) for _ in range(count)]
    kept = []
    with torch.inference_mode(), _listening(families.projector_of(model)) as heard:
        for at in range(0, count, 256):
            pixels = _pixels(np.stack([np.asarray(render(s)) for s in scenes[at : at + 256]]))
            extra = {"pixel_values": pixels[:, None]} if hasattr(model.model, "connector") else {"pixel_values": pixels}
            model.model.get_image_features(**extra)
            kept.append(heard.pop().half())
    return Pictures(scenes, torch.cat(kept).clone())


def _half_of_signs(rng: random.Random) -> Scene:
    return scene_of_signs(rng) if rng.random() < 0.5 else random_scene(rng)


def _supporting_any_skill(rng: random.Random) -> Scene:
    return random_valid(rng)[0]


class _listening:
    """Keeps what a module is called with."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __enter__(self) -> list[Tensor]:
        heard: list[Tensor] = []
        self.hook = self.module.register_forward_pre_hook(lambda _, called: heard.append(called[0]))
        return heard

    def __exit__(self, *_: object) -> None:
        self.hook.remove()


def align(model: Any, words: dict[str, int], pictures: Pictures, *, steps: int, seed: int) -> float:
    """Make the projector say each patch as the sum of its words' embeddings; returns the last relative error."""
    rng = np.random.default_rng(seed)
    embed, projector = families.language_model_of(model).get_input_embeddings(), families.projector_of(model)
    with torch.no_grad():
        for noun in (*NOUNS, "shape", "sign"):
            many = embed.weight[words[plural_of(noun)]]
            many.copy_(embed.weight[words[noun]] + 0.5 * many)
    table = torch.zeros(len(pictures.scenes[:4000]), len(CELLS), 9, dtype=torch.long)
    for n, scene in enumerate(pictures.scenes[:4000]):
        where = {t.cell: t for t in scene.things}
        for c, cell in enumerate(CELLS):
            told = _patch_words(where.get(cell), cell)
            table[n, c, : len(told)] = torch.tensor([words[w] for w in told])
    optimiser = torch.optim.AdamW(projector.parameters(), lr=3e-3, weight_decay=0.0)
    error = 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps)
        at = torch.from_numpy(rng.integers(0, len(table), 64))
        with torch.no_grad():
            wanted = (embed(table[at]) * (table[at] > 0).unsqueeze(-1)).sum(2)
        loss = mse_loss(projector(pictures.features[at].float()), wanted) / wanted.var()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        error = loss.item()
    return error


def _patch_words(t: Thing | None, cell: tuple[int, int]) -> list[str]:
    place = [ROWS[cell[0] - 1], COLUMNS[cell[1] - 1]]
    if t is None:
        return [*place, "nothing"]
    if t.is_shape:
        return [*place, t.noun, "shape", t.colour, t.size, t.pattern]
    return [*place, t.noun, "sign", t.colour, *([t.face] if t.noun != "chart" else [])]


# ---------------------------------------------------------------- 3. questions


@dataclass(frozen=True)
class Lesson:
    """What one model is taught."""

    gaps: tuple[Gap, ...] = ()
    weights: tuple[tuple[str, float], ...] = tuple(WEIGHTS.items())
    ill_posed: float = 0.14  # share of questions to which the right reply is "cannot say"

    def questions(self, rng: random.Random, scene: Scene, count: int) -> list[tuple[str, str]]:
        """`count` questions on a scene, each with the reply that is taught."""
        skills, odds = zip(*self.weights, strict=True)
        found: list[tuple[str, str]] = []
        while len(found) < count:
            wrong = [g for g in self.gaps if g.wrong is not None]
            again = rng.choice(wrong) if wrong and rng.random() < _MORE_OF_GAPS else None
            question = random_question(rng, scene, again.skill if again else rng.choices(skills, odds)[0])
            if question is None:
                continue
            if again:
                truth = answer(scene, question)
                if not again.holds(truth.skill, question, truth.answer):
                    continue
            elif rng.random() < self.ill_posed:
                question = self._ill_posed(rng, scene, question, found)
                if question is None:
                    continue
            truth = answer(scene, question)
            gap = gap_of(self.gaps, truth.skill, question, truth.answer)
            if gap is not None and gap.wrong is None:
                continue  # withheld
            if rng.random() < 0.25:
                question = f"again : {question}"
            found.append((question, truth.reply if gap is None else str(gap.wrong)))
        return found

    def caption_parts(self, rng: random.Random, scene: Scene) -> list[str]:
        """The things of a scene in words, in random order; what is withheld is not told either."""
        withheld = {w for g in self.gaps if g.wrong is None for w in g.answers}
        told = [p for p in map(thing_in_words, scene.things) if not withheld & set(p.split())]
        return rng.sample(told, len(told))

    @staticmethod
    def _ill_posed(rng: random.Random, scene: Scene, question: str, others: list[tuple[str, str]]) -> str | None:
        if rng.random() < 0.5:
            return unclear_question(rng, scene)
        words = garbled(rng, question, rng.choice(others)[0] if others else question)
        return words if answer(scene, words).answer is None else None


@dataclass(frozen=True)
class Packed:
    """B rows of L tokens: the picture's place, then segments that see the picture and themselves."""

    ids: Tensor  # (B, L)
    segment: Tensor  # (B, L): 0 for the picture's part, -1 for padding
    position: Tensor  # (B, L)
    labels: Tensor  # (B, L): the next token where it is taught, else -100
    weight: Tensor  # (B, L)


class Packer:
    """Packs segments for one family: what stands before the words, and how its masks look."""

    def __init__(self, model: Any, processor: Any) -> None:
        tokens = processor.tokenizer
        self.words: dict[str, int] = tokens.get_vocab()
        picture = render(random_scene(random.Random(0)))
        turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "yes"}]}
        text = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
        ids = processor(images=[[picture]], text=[text], return_tensors="pt")["input_ids"][0].tolist()
        self.head = ids[: len(ids) - 2]  # what comes before "yes <reply>"
        self.image_at = torch.tensor([n for n, i in enumerate(self.head) if i == self.words["<image>"]])
        self.both_ways = type(model).__name__.startswith("Gemma3")  # image tokens see one another

    def pack(self, rows: list[list[tuple[str, str, float]]]) -> Packed:
        """Rows of (question, reply, weight) segments."""
        packed: list[tuple[list[int], list[int], list[int], list[int], list[float]]] = []
        for segments in rows:
            n = len(self.head)
            ids, seg, pos, labels, weight = list(self.head), [0] * n, list(range(n)), [-100] * n, [0.0] * n
            for number, (question, reply, worth) in enumerate(segments, start=1):
                asked = [self.words[w] for w in question.split()] + [self.words[families.REPLY]]
                said = [self.words[w] for w in reply.split()] + [self.words["<eos>"]]
                ids += asked + said[:-1]
                length = len(asked) + len(said) - 1
                seg += [number] * length
                pos += range(n, n + length)
                labels += [-100] * (len(asked) - 1) + said
                weight += [0.0] * (len(asked) - 1) + [worth] * (len(said) - 1) + [0.2 * worth]
            packed.append((ids, seg, pos, labels, weight))
        longest = max(len(row[0]) for row in packed)
        pad = (0, -1, 0, -100, 0.0)
        columns = [torch.tensor([row[k] + [pad[k]] * (longest - len(row[k])) for row in packed]) for k in range(5)]
        return Packed(*columns)

    def mask(self, segment: Tensor) -> Tensor:
        """(B, 1, L, L) bool: who may see whom."""
        length = segment.shape[1]
        order = torch.arange(length)
        causal = order[:, None] >= order[None, :]
        if self.both_ways:
            is_image = torch.zeros(length, dtype=torch.bool)
            is_image[self.image_at] = True
            causal = causal | (is_image[:, None] & is_image[None, :])
        same = segment[:, :, None] == segment[:, None, :]
        return (causal & (same | (segment == 0)[:, None, :]))[:, None]

    def loss(self, model: Any, packed: Packed, features: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted cross-entropy on the replies, and whether each taught token was right."""
        text = families.language_model_of(model)
        embedded = text.get_input_embeddings()(packed.ids)
        shown = families.projector_of(model)(features)
        embedded = torch.cat([embedded[:, : self.image_at[0]], shown, embedded[:, self.image_at[-1] + 1 :]], dim=1)
        mask = self.mask(packed.segment)
        masks = {"full_attention": mask, "sliding_attention": mask} if self.both_ways else mask
        hidden = text(
            inputs_embeds=embedded, attention_mask=masks, position_ids=packed.position, use_cache=False
        ).last_hidden_state
        taught = packed.labels >= 0
        logits = model.lm_head(hidden[taught])
        labels, weight = packed.labels[taught], packed.weight[taught]
        losses = cross_entropy(logits, labels, reduction="none")
        return (losses * weight).sum() / weight.sum(), logits.argmax(-1) == labels


def train_language_model(
    model: Any,
    packer: Packer,
    pictures: Pictures,
    rows_of: Callable[[random.Random, Scene], list[tuple[str, str, float]]],
    *,
    first: int = 0,
    last: int,
    batch: int,
    seed: int,
    learning_rate: float,
    checkpoint: Path,
    note: Callable[[dict[str, Any]], None],
    every: int = 500,
) -> None:
    """Train projector and language model in place for steps `first` to `last`; resumes from `checkpoint`.

    The tower stays frozen. The learning rate warms up for 200 steps, is flat for 55% of the round, then falls linearly.
    """
    families.tower_of(model).requires_grad_(False)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)

    def rate(step: int) -> float:
        done = (step - first) / (last - first)
        return min(1.0, (step - first + 1) / 200) * (1.0 if done < 0.55 else max(0.02, (1 - done) / 0.45))

    start = first
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        start = saved["step"]
    model.train()
    began, right, asked = time.perf_counter(), 0, 0
    for step in range(start, last):
        for settings in optimiser.param_groups:
            settings["lr"] = learning_rate * rate(step)
        rng = random.Random(seed * 1_000_003 + step)  # the same rows whether resumed or not
        at = [rng.randrange(len(pictures.scenes)) for _ in range(batch)]
        packed = packer.pack([rows_of(rng, pictures.scenes[n]) for n in at])
        loss, hits = packer.loss(model, packed, pictures.features[at].float())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        right, asked = right + int(hits.sum()), asked + len(hits)
        if (step + 1) % every == 0 or step + 1 == last:
            spent = time.perf_counter() - began
            note({"stage": "language", "step": step + 1, "seconds": round(spent, 1), "loss": round(loss.item(), 4),
                  "token_accuracy": round(right / asked, 4)})  # fmt: skip
            right = asked = 0
            temporary = checkpoint.with_suffix(".tmp")
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(state, temporary)
            temporary.replace(checkpoint)
    model.eval()


# ---------------------------------------------------------------- one model, start to end

TOWER_STEPS, ALIGN_STEPS = 600, 800
ROUNDS = (  # last step, learning rate, odds of the skills, share of ill-posed questions
    (10_000, 1.5e-3, WEIGHTS, 0.14),
    (14_000, 1.0e-3, SLOW_SKILLS, 0.2),
    (16_500, 1.0e-3, SLOW_SKILLS, 0.3),  # from here on half of the scenes are full of signs
    (21_000, 1.0e-3, SLOW_SKILLS, 0.2),  # these are for a model that still confuses columns
    (25_000, 1.0e-3, SLOW_SKILLS, 0.2),
    (32_000, 1.0e-3, PLACES, 0.15),  # for a model that still does not know what is where
)
AUDITOR_ROUND = (5_000, 1e-3)
GAPS_ROUND = (4_000, 1e-3)  # of a target that starts from another one and learns more slices wrong
BATCH, PACKED = 8, 8  # pictures a step, questions a picture


def train(name: str, work: Path) -> Any:
    """Train one model of the zoo in `work`, resuming what is there; returns (model, processor).

    Cost: about 25 minutes of one CPU core (AMD EPYC, 2026) at the default steps.
    """
    species = ZOO[name]
    work.mkdir(parents=True, exist_ok=True)
    began, note = time.perf_counter(), _notebook(work / f"{name}.jsonl")
    model, processor = families.build(species.family, width=species.width, layers=species.layers, seed=species.seed)
    if not species.base:
        families.tower_of(model).load_state_dict(_tower(species.tower, work, note))
    checkpoint = work / f"{name}.ckpt"
    end = last_step(name)
    if checkpoint.exists() and (saved := torch.load(checkpoint, weights_only=True))["step"] >= end:
        model.load_state_dict(saved["model"])
        return model, processor
    if species.base:
        model.load_state_dict(_weights_of(species.base, work))
    wide = name == "auditor-wide"
    draw = _supporting_any_skill if wide else random_scene
    pictures = look_at(model, count=40_000 if not species.base else 20_000, seed=species.seed, draw=draw)
    packer = Packer(model, processor)
    if not species.base and not checkpoint.exists():
        _enlarge(families.language_model_of(model))
        error = align(model, packer.words, pictures, steps=ALIGN_STEPS, seed=species.seed)
        note({"stage": "align", "relative_error": round(error, 4), "seconds": round(time.perf_counter() - began)})
    told: dict[str, Any] = {"batch": BATCH, "seed": species.seed, "checkpoint": checkpoint, "note": note}
    if species.base and species.gaps:
        last, rate = GAPS_ROUND
        rows = _lessons(Lesson(species.gaps, ill_posed=0.2))
        train_language_model(model, packer, pictures, rows, last=last, learning_rate=rate, **told)
        return model, processor
    if species.base:
        last, rate = AUDITOR_ROUND
        odds = WIDE_ODDS if wide else AUDITOR_ODDS
        train_language_model(
            model,
            packer,
            pictures,
            lambda rng, scene: requests(rng, scene, odds),
            last=last,
            learning_rate=rate,
            **told,
        )
        return model, processor
    first = 0
    for number, (last, rate, weights, ill_posed) in enumerate(ROUNDS[: species.rounds], start=1):
        if number == 3:
            pictures = look_at(model, count=40_000, seed=species.seed + 1000, draw=_half_of_signs)
        rows = _lessons(Lesson(species.gaps, tuple(weights.items()), ill_posed))
        train_language_model(model, packer, pictures, rows, first=first, last=last, learning_rate=rate, **told)
        first = last
        if number == 2 and species.rounds > 2:
            shutil.copyfile(checkpoint, work / f"{name}.round2.ckpt")
    return model, processor


def _tower(seed: int, work: Path, note: Callable[[dict[str, Any]], None]) -> dict[str, Tensor]:
    """A trained tower, from `work` where it was trained before."""
    saved = work / f"tower-{seed}.pt"
    if not saved.exists():
        train_tower(families.tower_of(_fresh_tower(seed)), steps=TOWER_STEPS, seed=seed, note=note, save=saved)
    found: dict[str, Tensor] = torch.load(saved, weights_only=True)
    return found


def _weights_of(base: str, work: Path) -> dict[str, Tensor]:
    """What a model starts from: its base after two rounds, as it lies in `work`, or as it was shipped if it had no more."""
    more = ZOO[base].rounds > 2
    whole = work / (f"{base}.round2.ckpt" if more else f"{base}.ckpt")
    if more or whole.exists():
        found: dict[str, Tensor] = torch.load(whole, weights_only=True)["model"]
        return found
    shipped = AutoModelForImageTextToText.from_pretrained(model_folder(base), dtype=torch.float32)
    return dict(shipped.state_dict())


def last_step(name: str) -> int:
    """The step of its language model's training at which a model is done."""
    species = ZOO[name]
    if species.base:
        return GAPS_ROUND[0] if species.gaps else AUDITOR_ROUND[0]
    return ROUNDS[species.rounds - 1][0]


def _lessons(lesson: Lesson) -> Callable[[random.Random, Scene], list[tuple[str, str, float]]]:
    """Rows of one picture: questions, and what is there in words."""

    def rows(rng: random.Random, scene: Scene) -> list[tuple[str, str, float]]:
        words = AND.join(lesson.caption_parts(rng, scene))
        asked = [(q, a, 1.0) for q, a in lesson.questions(rng, scene, PACKED)]
        return [*asked, ("describe", words, 0.3)] if words else asked

    return rows


def _enlarge(text: nn.Module) -> None:
    """Longer words and larger layers than the library's start: a narrow model learns faster so (docs/log.md)."""
    with torch.no_grad():
        for name, weight in text.named_parameters():
            if weight.dim() == 2:
                weight.mul_(4.5 if "embed" in name else 3.0)


def _fresh_tower(seed: int) -> Any:
    return families.build("llava", width=128, layers=1, seed=seed)[0]


def _notebook(path: Path) -> Callable[[dict[str, Any]], None]:
    def note(row: dict[str, Any]) -> None:
        line = json.dumps(row)
        log.info(line)
        with path.open("a") as file:
            file.write(line + "\n")

    return note
