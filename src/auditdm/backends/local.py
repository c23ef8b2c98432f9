"""Vision-language models in this process: any that AutoModelForImageTextToText and AutoProcessor load."""

from __future__ import annotations

import contextlib
import copy
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL.Image import Image
from transformers import BatchFeature

from auditdm.backends.families import family_of, plain_prompt
from auditdm.backends.loading import load_vlm, local_folder, out_of_memory, revision_of
from auditdm.errors import ConfigError, ModelError
from auditdm.types import Answer, picture_id, seed_for

__all__ = ["TransformersModel", "load_vlm"]

log = logging.getLogger(__name__)
_MARKS = ("_token", "_tag")  # how processors call the attributes that hold their control tokens
_TILE = re.compile(r"<row_\d+_col_\d+>")
_DRAWING = threading.Lock()  # torch has one stream of chance, and models may be asked side by side


class TransformersModel:
    """A vision-language model held in memory, answering in batches.

    Prompts follow the model's own chat template (picture first, then the text); a model without one, such as
    PaliGemma, gets the form that `families` has for it. Control tokens inside a text are taken apart, so that an auditor's
    words cannot pose as a picture or as another speaker.

    Args:
        folder_or_hub_id: A model folder, or an id such as "google/gemma-3-4b-it".
        name: What the answers call the model; the folder or id when None.
        batch: Pictures per forward pass, at least 1. Halved for good whenever memory runs out.
        max_new_tokens: The longest reply, in tokens.
        temperature: 0.0 takes the likeliest token; above it, tokens are sampled.
        seed: Where samples come from, together with what is asked: the same batch gets the same replies.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
        dtype: "auto" (float32 on a CPU, bfloat16 on CUDA) or a torch type by name.
        adapter: A LoRA adapter's folder or hub id, merged into the weights on loading.
        options: Handed to `from_pretrained` as they are, e.g. {"attn_implementation": "sdpa", "revision": "main"} or
            a `quantization_config`; the `min_pixels` and `max_pixels` of Qwen-VL go to its processor.

    Attributes:
        revision: The commit of a hub id; for a folder, a digest of its weights and of the files read with them.
        model, processor: What transformers loaded, for whoever trains it.

    Raises:
        ModelError: Nothing there, not a model, no picture input, or unreadable weights; says which, and what to do.
        ConfigError: An argument out of range, or an option that is set here.
    """

    def __init__(
        self,
        folder_or_hub_id: str | Path,
        *,
        name: str | None = None,
        batch: int = 64,
        max_new_tokens: int = 32,
        temperature: float = 0.0,
        seed: int = 0,
        device: str = "auto",
        dtype: str = "auto",
        adapter: str | Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        least = {"batch": (batch, 1), "max_new_tokens": (max_new_tokens, 1), "temperature": (temperature, 0)}
        for key, (found, allowed) in least.items():
            if found < allowed:
                raise ConfigError(f"{folder_or_hub_id}: {key} is {found}; it must be at least {allowed}.")
        options = dict(options or {})
        self.name = str(folder_or_hub_id) if name is None else name
        if local_folder(folder_or_hub_id) is None:
            options["revision"] = revision_of(folder_or_hub_id, options=options)  # every file from one commit
        self.model, self.processor = load_vlm(folder_or_hub_id, dtype, device, adapter, options=options)
        self.revision: str | None = revision_of(folder_or_hub_id, adapter, options)
        self.batch, self.seed = batch, seed
        self._generation = _generation(self.model, self.processor.tokenizer, max_new_tokens, temperature)
        self._control = control_tokens(self.processor)
        self._prepare = copy.copy(self.processor)
        self._prepare.image_processor = _OncePerPicture(self.processor.image_processor)

    def generate(self, batch: Sequence[tuple[Image, str]]) -> list[Answer]:
        """Answer each (picture, text) of the batch.

        Questions on one picture stay together, longest first, so that a picture is prepared once and little is
        padded; the order of the answers is that of the batch. Equal pairs are asked once, unless replies are sampled.

        Args:
            batch: N pairs; pictures of any size and mode, made RGB here and resized by the model's own processor.

        Returns:
            N answers in the same order. A pair that the model or its processor refuses (a picture too long and thin,
            say) is an answer with a problem; an empty reply is an empty text.

        Raises:
            ModelError: One single pair does not fit into memory, or the device failed.

        Cost: ceil(N / batch) generations, N counting equal pairs once, of at most `max_new_tokens` tokens.
        """
        asked = _together(batch, self._prompts([text for _, text in batch]), once=not self._generation.do_sample)
        answers: dict[int, Answer] = {}
        while asked:
            part = asked[: self.batch]
            replies = self._replies_or_problems(part)
            if replies is None:
                self._make_room(len(part), part[0].picture)
                continue
            for one, (text, problem) in zip(part, replies, strict=True):
                answer = Answer(model=self.name, text=text, problem=problem, revision=self.revision)
                answers.update(dict.fromkeys(one.places, answer))
            asked = asked[len(part) :]
        return [answers[place] for place in range(len(batch))]

    def at_length(self, max_new_tokens: int) -> TransformersModel:
        """The same weights, with replies of at most so many tokens."""
        longer = copy.copy(self)
        longer._generation = copy.deepcopy(self._generation)
        longer._generation.max_new_tokens = max_new_tokens
        return longer

    def _prompts(self, texts: Sequence[str]) -> list[str]:
        """The texts as the model's family wants them."""
        safe = [self._control.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text) for text in texts]
        if not safe:
            return []
        if not self.processor.chat_template:
            family = family_of(self.model.config)
            return [plain_prompt(family, self.processor.image_token, text) for text in safe]
        asked = [[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}] for text in safe]
        prompts: list[str] = self.processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        return prompts

    def _replies_or_problems(self, part: Sequence[_Asked]) -> list[tuple[str | None, str | None]] | None:
        """(text, problem) for each; None when they do not fit into memory together."""
        try:
            texts = self._replies(self._inputs(part), self._seed(part))
        except _Refused as refusal:  # halve until the pair that was meant stands alone
            if len(part) == 1:
                log.warning("%s cannot take picture %s: %s", self.name, part[0].picture_id, refusal)
                return [(None, f"{self.name} cannot take this picture and text: {refusal}")]
            first = self._replies_or_problems(part[: len(part) // 2])
            second = None if first is None else self._replies_or_problems(part[len(part) // 2 :])
            return None if first is None or second is None else first + second
        except (RuntimeError, MemoryError) as error:
            if out_of_memory(error):
                return None  # the error goes, and with it the traceback that holds the tensors
            raise ModelError(
                f"{self.name}: {len(part)} questions could not be answered on {self.model.device}: {error}\n"
                "If the device is well, run the same command again: finished work is kept."
            ) from error
        return [(text, None) for text in texts]

    def _inputs(self, part: Sequence[_Asked]) -> Any:
        """The tensors of a forward pass, on the model's device."""
        if any(0 in one.picture.size for one in part):  # some processors would make one up
            raise _Refused("the picture has no pixels")
        opening = self.processor.tokenizer.bos_token
        begun = opening is not None and part[0].prompt.startswith(opening)
        try:
            inputs = self._prepare(
                images=[[one.picture] for one in part],  # a flat list is one sample of many pictures to Gemma 3
                text=[one.prompt for one in part],
                padding=True,
                return_tensors="pt",
                **({"add_special_tokens": False} if begun else {}),
            )
        except ValueError as error:
            raise _Refused(str(error)) from error
        inputs.pop("labels", None)  # PaliGemma's processor adds them
        return inputs.to(self.model.device, dtype=self.model.dtype)

    def _replies(self, inputs: Any, seed: int) -> list[str]:
        """What the model says, without the prompt."""
        sampled, gpus = self._generation.do_sample, self._gpus()
        drawing = _DRAWING if sampled else contextlib.nullcontext()
        with torch.inference_mode(), drawing, torch.random.fork_rng(devices=gpus, enabled=sampled):
            if sampled:
                torch.default_generator.manual_seed(seed)
                for gpu in gpus:
                    torch.cuda.default_generators[gpu].manual_seed(seed)
            try:
                tokens = self.model.generate(**inputs, generation_config=self._generation)
            except ValueError as error:  # transformers compares what the processor promised with what the model found
                raise _Refused(str(error)) from error
        new = tokens[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self.processor.tokenizer.batch_decode(new, skip_special_tokens=True)]

    def _seed(self, part: Sequence[_Asked]) -> int:
        if not self._generation.do_sample:
            return 0  # unused: nothing is drawn
        return seed_for(self.seed, *(word for one in part for word in (one.picture_id, one.prompt)))

    def _gpus(self) -> list[int]:
        return list(range(torch.cuda.device_count())) if self.model.device.type == "cuda" else []

    def _make_room(self, tried: int, picture: Image) -> None:
        """Halve the batch for good, or give up when one pair alone was too much."""
        if tried == 1:
            raise ModelError(
                f"{self.name}: out of memory on {self.model.device} with a single picture of {picture.width}x"
                f"{picture.height} px. Use smaller pictures, fewer max_new_tokens, dtype bfloat16 or a larger device."
            )
        self.batch = max(1, tried // 2)
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()


class _Refused(Exception):
    """The model, or its processor, cannot take what it was given."""


class _Asked(NamedTuple):
    places: tuple[int, ...]  # in the caller's batch
    picture: Image  # one object for all that ask about the same picture
    picture_id: str
    prompt: str


def _together(batch: Sequence[tuple[Image, str]], prompts: Sequence[str], *, once: bool) -> list[_Asked]:
    """Pictures with the longest prompt first, all prompts on one picture side by side; any order in, one order out.

    With `once`, equal pairs are one that has several places.
    """
    ids: dict[int, str] = {}
    pictures: dict[str, Image] = {}
    longest: dict[str, int] = {}
    places: dict[tuple[str, str, int], list[int]] = {}
    for place, ((image, _), prompt) in enumerate(zip(batch, prompts, strict=True)):
        if id(image) not in ids:
            rgb = image.convert("RGB")
            ids[id(image)] = picture_id(rgb)
            pictures.setdefault(ids[id(image)], rgb)
        key = ids[id(image)]
        longest[key] = max(longest.get(key, 0), len(prompt))
        places.setdefault((key, prompt, 0 if once else place), []).append(place)
    order = sorted(places, key=lambda pair: (-longest[pair[0]], pair[0], -len(pair[1]), pair[1], pair[2]))
    return [_Asked(tuple(places[pair]), pictures[pair[0]], pair[0], pair[1]) for pair in order]


class _OncePerPicture:
    """A picture processor that prepares equal objects once and repeats the tensors."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __call__(self, images: Any, **options: Any) -> Any:
        flat = [one[0] if isinstance(one, list) else one for one in images]  # one picture per prompt
        first: dict[int, int] = {}
        which = [first.setdefault(id(picture), len(first)) for picture in flat]
        if len(first) == len(flat):
            return self._inner(images, **options)
        once = [images[which.index(at)] for at in range(len(first))]
        prepared = self._inner(once, **options)
        pieces = _pieces(prepared)
        if pieces is not None:  # Qwen-VL and InternVL string the patches of all pictures together
            prepared["pixel_values"] = pieces
        elif any(len(rows) != len(once) for rows in prepared.values()):  # strung together in a way not known here
            return self._inner(images, **options)
        repeated = {
            key: [rows[at] for at in which] if isinstance(rows, list | tuple) else rows[which]
            for key, rows in prepared.items()
        }
        if pieces is not None:
            repeated["pixel_values"] = torch.cat(repeated["pixel_values"])
        return BatchFeature(repeated)


def _pieces(prepared: Any) -> list[torch.Tensor] | None:
    """The patches of each picture where one tensor holds those of all; None where each picture has its own row."""
    if "image_grid_thw" in prepared:  # Qwen-VL: time, height and width in patches
        counts = prepared["image_grid_thw"].prod(-1)
    elif "num_patches" in prepared:  # InternVL: tiles
        counts = prepared["num_patches"]
    else:
        return None
    if int(counts.sum()) != len(prepared["pixel_values"]):  # the name means something else here
        return None
    return list(torch.split(prepared["pixel_values"], counts.tolist()))


def _generation(model: Any, tokenizer: Any, max_new_tokens: int, temperature: float) -> Any:
    """The model's own generation settings, made greedy or sampled."""
    settings = copy.deepcopy(model.generation_config)
    settings.max_length, settings.max_new_tokens = None, max_new_tokens
    if settings.eos_token_id is None:
        settings.eos_token_id = tokenizer.eos_token_id
    if settings.pad_token_id is None:
        settings.pad_token_id = tokenizer.pad_token_id
    settings.do_sample = temperature > 0
    if temperature > 0:
        settings.temperature = temperature
    else:  # transformers warns of each that is set and unused
        settings.temperature = settings.top_p = settings.top_k = settings.min_p = settings.typical_p = None
    return settings


def control_tokens(processor: Any) -> re.Pattern[str]:
    """Finds every token that a text from outside must not be able to write.

    Those are the tokenizer's special tokens, those that the processor puts around a picture, and the names of a
    picture's tiles (Idefics3, SmolVLM), which some tokenizers keep as ordinary ones.
    """
    added = processor.tokenizer.added_tokens_decoder.values()
    tokens = {token.content for token in added if token.special or _TILE.fullmatch(token.content)}
    tokens |= {word for name, word in vars(processor).items() if name.endswith(_MARKS) and isinstance(word, str)}
    long_first = sorted((token for token in tokens if len(token) > 1), key=lambda token: (-len(token), token))
    return re.compile("|".join(re.escape(token) for token in long_first) or r"(?!)")
