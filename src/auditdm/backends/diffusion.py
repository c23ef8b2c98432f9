"""Drawing captions and editing pictures with the diffusion pipelines of diffusers.

`model_index.json` names a pipeline's class, and the tables in `drawing` say how each class is called.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch
from PIL.Image import Image, Resampling
from transformers import PreTrainedTokenizerBase

from auditdm.backends.drawing import EDITORS, GENERATORS, Way
from auditdm.backends.loading import out_of_memory
from auditdm.backends.pipelines import Loading, Offload, class_in, load_pipeline, pipeline_revision, shared_parts
from auditdm.errors import ConfigError, ModelError
from auditdm.types import picture_id, seed_for

log = logging.getLogger(__name__)

_CALLING = threading.Lock()  # a pipeline keeps its state between steps, and two may share their encoders


class DiffusionGenerator:
    """Draws captions with a text-to-image pipeline held in memory.

    What is drawn depends on the seed and the caption alone, so that batches, their order and resuming change nothing;
    the same caption is drawn once. Control tokens inside a caption are taken apart: they are words here.

    Args:
        folder_or_hub_id: A pipeline folder, or an id such as "black-forest-labs/FLUX.1-dev".
        name: What the generator is called; the folder or id when None.
        steps: Steps of denoising; the class's own number when None.
        side_px: Side of the square picture, a multiple of what the pipeline can draw (mostly 16). Older Stable
            Diffusion was taught at 512.
        guidance: How closely the words are followed; the class's own number when None.
        seed: Where the noise comes from, together with the caption.
        batch: Pictures per call, at least 1. Halved for good whenever memory runs out.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
        dtype: "auto" (float32 on a CPU, bfloat16 on CUDA) or a torch type by name.
        offload: "none"; "model" keeps on the GPU only the part at work; "sequential" only the layer at work, slowly.
        options: Handed to `from_pretrained` as they are. A `quantization_config` may be a mapping of the arguments of
            PipelineQuantizationConfig; `shared_parts` gives parts that are in memory already.
        call: Handed to every call as it is, e.g. {"max_sequence_length": 256}.

    Attributes:
        revision: The commit of a hub id; for a folder, a digest of its files.
        pipeline: What diffusers loaded.
        loading: How.

    Raises:
        ConfigError: A class that is not in `GENERATORS`, an argument out of range, or one that is set here.
        ModelError: Nothing there, no pipeline, or unreadable weights; says which, and what to do.

    Cost: the memory of the whole pipeline; a folder's files are read once more for the revision.
    """

    def __init__(
        self,
        folder_or_hub_id: str | Path,
        *,
        name: str | None = None,
        steps: int | None = None,
        side_px: int = 1024,
        guidance: float | None = None,
        seed: int = 0,
        batch: int = 4,
        device: str = "auto",
        dtype: str = "auto",
        offload: Offload = "none",
        options: Mapping[str, Any] | None = None,
        call: Mapping[str, Any] | None = None,
    ) -> None:
        loading = Loading(device, dtype, offload, dict(options or {}))
        self._painter = _Painter(folder_or_hub_id, GENERATORS, loading, steps, side_px, guidance, batch, call or {})
        self.name = str(folder_or_hub_id) if name is None else name
        self.revision = self._painter.revision
        self.pipeline = self._painter.pipeline
        self.seed = seed
        self.loading = loading

    def generate(self, captions: Sequence[str]) -> list[Image | None]:
        """Draw each caption.

        Returns:
            N pictures in the same order, RGB, `side_px` by `side_px`. None where a safety checker flagged the picture
            or blanked it, and where it came out black all over, as numbers that overflow do.

        Raises:
            ModelError: One single picture does not fit into memory, or the call failed.

        Cost: ceil(N / batch) calls, N counting equal captions once.
        """
        side = self._painter.side_px
        wanted = [_Wanted(caption, seed_for(self.seed, caption), (side, side)) for caption in captions]
        return self._painter.paint(wanted)


class DiffusionEditor:
    """Changes pictures by command with an editing pipeline held in memory.

    What is drawn depends on the seed, the picture and the command alone. A picture keeps its shape: it is made as
    large as a square of `side_px`, as these models were taught, and its edit has that size.

    Args:
        folder_or_hub_id: A pipeline folder, or an id such as "black-forest-labs/FLUX.1-Kontext-dev".
        side_px: Side of the square that has as many pixels as the edit; see `DiffusionGenerator`, also for all
            other arguments. InstructPix2Pix was taught at 512.

    Attributes:
        revision: The commit of a hub id; for a folder, a digest of its files.
        pipeline: What diffusers loaded.
        loading: How.

    Raises:
        ConfigError: A class that is not in `EDITORS`, an argument out of range, or one that is set here.
        ModelError: Nothing there, no pipeline, or unreadable weights; says which, and what to do.
    """

    def __init__(
        self,
        folder_or_hub_id: str | Path,
        *,
        name: str | None = None,
        steps: int | None = None,
        side_px: int = 1024,
        guidance: float | None = None,
        seed: int = 0,
        batch: int = 4,
        device: str = "auto",
        dtype: str = "auto",
        offload: Offload = "none",
        options: Mapping[str, Any] | None = None,
        call: Mapping[str, Any] | None = None,
    ) -> None:
        loading = Loading(device, dtype, offload, dict(options or {}))
        self._painter = _Painter(folder_or_hub_id, EDITORS, loading, steps, side_px, guidance, batch, call or {})
        self.name = str(folder_or_hub_id) if name is None else name
        self.revision = self._painter.revision
        self.pipeline = self._painter.pipeline
        self.seed = seed
        self.loading = loading

    def edit(self, batch: Sequence[tuple[Image, str]]) -> list[Image | None]:
        """Apply each command to its picture.

        Args:
            batch: N pairs; pictures of any size and mode, made RGB and resized here.

        Returns:
            N pictures in the same order, RGB. None as in `DiffusionGenerator.generate`, and for a picture that the
            class cannot take: FLUX.2 wants 64 px on the shorter side, and no side more than 8 times the other.

        Raises:
            ModelError: One single picture does not fit into memory, or the call failed.

        Cost: one call for each `batch` pictures of one shape; one for each picture where the class takes no more.
        """
        return self._painter.paint([self._wanted(picture, command) for picture, command in batch])

    def _wanted(self, picture: Image, command: str) -> _Wanted:
        rgb = picture.convert("RGB")
        seed = seed_for(self.seed, picture_id(rgb), command)
        return _Wanted(command, seed, self._painter.size_like(rgb.size), rgb)


def beside(generator: object, folder_or_hub_id: str | Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Find the parts, such as text encoders and VAE, that an editor need not load, for a generator has them in memory.

    Args:
        generator: Whatever draws the captions, or None.
        folder_or_hub_id: The editor's pipeline, about to be loaded.
        options: The arguments of `DiffusionEditor`.

    Returns:
        Parts by name, for `options` of the editor. None of them where the generator is no `DiffusionGenerator`, or the
        two are loaded in different ways, or quantized, placed by device_map or offloaded layer by layer.

    Raises:
        ModelError: The editor's pipeline cannot be found.

    Cost: that of `shared_parts`.
    """
    if not isinstance(generator, DiffusionGenerator):
        return {}
    ways = {"device": "auto", "dtype": "auto", "offload": "none"}
    wanted = tuple(options.get(key, usual) for key, usual in ways.items())
    own = dict(options.get("options") or {})
    apart = {"quantization_config", "device_map"} & (own.keys() | generator.loading.options.keys())
    if apart or wanted != generator.loading[:3] or generator.loading.offload == "sequential":
        return {}
    parts = shared_parts(generator.pipeline, folder_or_hub_id, own)
    if parts:
        log.info("%s: shares %s with %s", folder_or_hub_id, ", ".join(parts), generator.name)
    return parts


class _Wanted(NamedTuple):
    """One picture to be made."""

    words: str
    seed: int
    size: tuple[int, int] | None  # None: the class cannot take the picture
    source: Image | None = None


class _Painter:
    """A loaded pipeline and the way it is called."""

    def __init__(
        self,
        folder_or_hub_id: str | Path,
        known: Mapping[str, Way],
        loading: Loading,
        steps: int | None,
        side_px: int,
        guidance: float | None,
        batch: int,
        call: Mapping[str, Any],
    ) -> None:
        self.where = str(folder_or_hub_id)
        for key, found in (("batch", batch), ("steps", 1 if steps is None else steps), ("side_px", side_px)):
            if found < 1:
                raise ConfigError(f"{self.where}: {key} is {found}; it must be at least 1.")
        self.class_name = _known_class(folder_or_hub_id, known, loading)
        self.way = known[self.class_name]
        self.batch = batch if self.way.batches else 1
        self.side_px = side_px
        self._check_call(call)
        told = {"num_inference_steps": steps, self.way.guidance: guidance}
        self._call = {**self.way.always, **call, **{key: value for key, value in told.items() if value is not None}}
        self.pipeline = load_pipeline(folder_or_hub_id, loading)
        self.revision = pipeline_revision(self.pipeline, folder_or_hub_id)
        self._multiple = self.pipeline.vae_scale_factor * self.way.patch
        self._control = _control_tokens(self.pipeline)
        if side_px % self._multiple:
            below, above = side_px // self._multiple * self._multiple, -(-side_px // self._multiple) * self._multiple
            near = " or ".join(str(side) for side in (below, above) if side)
            raise ConfigError(
                f"{self.where}: side_px is {side_px}; a {self.class_name} draws multiples of {self._multiple} px, "
                f"such as {near}."
            )

    def size_like(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """The (width, height) of that shape with the pixels of the square; None if the class cannot take it."""
        width, height = _shaped(size, self.side_px, self._multiple)
        fits = min(width, height) >= self.way.least_px and max(width, height) <= self.way.slimmest * min(width, height)
        return (width, height) if fits else None

    def paint(self, wanted: Sequence[_Wanted]) -> list[Image | None]:
        """Make each picture, those of one size together and equal ones once."""
        keys = [(one.words, one.seed, one.size) for one in wanted]  # the seed tells sources apart
        once = dict(zip(keys, wanted, strict=True))
        made: dict[Any, Image | None] = {}
        for key, one in once.items():
            if one.size is None:
                log.warning("%s: a %s cannot take a picture of this shape", self.where, self.class_name)
                made[key] = None
        for size in dict.fromkeys(key[2] for key in once if key not in made):
            left = [key for key in once if key[2] == size]
            while left:
                part = left[: self.batch]
                pictures = self._pictures([once[key] for key in part])
                if pictures is None:
                    self._make_room(len(part), size)
                    continue
                made.update(zip(part, pictures, strict=True))
                left = left[len(part) :]
        return [made[key] for key in keys]

    def _pictures(self, part: Sequence[_Wanted]) -> list[Image | None] | None:
        """One call of the pipeline; None when the pictures do not fit into memory together."""
        try:
            with _CALLING:
                made = self.pipeline(**self._arguments(part))
        except Exception as error:  # a pipeline's parts, and what the user hands to them, can raise anything
            if out_of_memory(error):
                return None  # the error goes, and with it the traceback that holds the tensors
            raise ModelError(
                f"{self.where}: {len(part)} pictures could not be made by {self.class_name}: {error}\n"
                f"Look at call: {dict(self._call)}. If it and the device are well, run the same command again: "
                "finished work is kept."
            ) from error
        flagged = getattr(made, "nsfw_content_detected", None) or [False] * len(part)
        kept = [None if bad or _black(picture) else picture for picture, bad in zip(made.images, flagged, strict=True)]
        if missing := kept.count(None):
            log.warning("%s: %d of %d pictures were filtered or came out black", self.where, missing, len(part))
        return [None if picture is None else picture.convert("RGB") for picture in kept]

    def _arguments(self, part: Sequence[_Wanted]) -> dict[str, Any]:
        """What the pipeline is called with; every part of it has the same size."""
        width, height = part[0].size or (0, 0)
        sizes = {"width": width, "height": height, "max_area": width * height}
        call = {  # Qwen-Image-Edit wants a negative prompt for each picture
            key: [value] * len(part) if key.startswith("negative_prompt") and isinstance(value, str) else value
            for key, value in self._call.items()
        }
        shown = _shaped((width, height), self.way.source_px, 32) if self.way.source_px else (width, height)
        sources = [one.source.resize(shown, Resampling.LANCZOS) for one in part if one.source is not None]
        return {
            "prompt": [self._control.sub(lambda found: f"{found[0][0]} {found[0][1:]}", one.words) for one in part],
            "generator": [torch.Generator("cpu").manual_seed(one.seed) for one in part],  # one noise on any device
            "output_type": "pil",
            **({"image": sources} if sources else {}),
            **{key: sizes[key] for key in self.way.size},
            **call,
        }

    def _check_call(self, call: Mapping[str, Any]) -> None:
        """Refuse arguments that the class does not have, or that are set here."""
        ours = {"prompt", "image", "generator", "output_type", "return_dict", "num_images_per_prompt", "latents"}
        ours |= {"num_inference_steps", self.way.guidance, *self.way.size}
        has = signature(getattr(diffusers, self.class_name).__call__).parameters.keys()
        allowed = sorted(has - ours - {"self", "kwargs"})
        for key in call:
            if key in ours:
                raise ConfigError(f"{self.where}: call.{key} is set by steps, side_px, guidance or the run; remove it.")
            if key not in allowed:
                raise ConfigError(
                    f"{self.where}: call.{key} is no argument of {self.class_name}. Known: {', '.join(allowed)}."
                )

    def _make_room(self, tried: int, size: tuple[int, int] | None) -> None:
        """Halve the batch for good, or give up when one picture alone was too much."""
        if tried == 1:
            raise ModelError(
                f"{self.where}: out of memory with a single picture of {size} px. Use a smaller side_px, "
                "dtype bfloat16, offload 'model' or 'sequential', a quantization_config, or a larger device."
            )
        self.batch = max(1, tried // 2)
        self.pipeline.maybe_free_model_hooks()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _known_class(folder_or_hub_id: str | Path, known: Mapping[str, Way], loading: Loading) -> str:
    """The pipeline's class, if the table has it; read before any weight is."""
    found = class_in(folder_or_hub_id, loading.options)
    if found in known:
        return found
    role, other = ("generator", "editor") if known is GENERATORS else ("editor", "generator")
    does = f" Name it as {other}." if found in (EDITORS if known is GENERATORS else GENERATORS) else ""
    raise ConfigError(
        f"{folder_or_hub_id}: its class is '{found}', which is no known {role}.{does} "
        f"Known: {', '.join(known)}; or write a class of your own and give its import path."
    )


def _shaped(size: tuple[int, int], side_px: int, multiple: int) -> tuple[int, int]:
    """Width and height of that shape with the pixels of a square of `side_px`, in multiples."""
    ratio = math.sqrt(size[0] / size[1])
    width, height = (max(1, round(side / multiple)) * multiple for side in (side_px * ratio, side_px / ratio))
    return width, height


def _control_tokens(pipeline: Any) -> re.Pattern[str]:
    """Finds every token that a text from outside must not be able to write."""
    parts = [getattr(part, "tokenizer", part) for part in pipeline.components.values()]
    tokenizers = [part for part in parts if isinstance(part, PreTrainedTokenizerBase)]
    added = [token for one in tokenizers for token in one.added_tokens_decoder.values()]
    tokens = {token.content for token in added if token.special and len(token.content) > 1}
    return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=lambda t: (-len(t), t))) or r"(?!)")


def _black(picture: Image) -> bool:
    return not any(highest for _, highest in picture.convert("RGB").getextrema())  # type: ignore[misc]
