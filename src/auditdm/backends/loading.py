"""Reading vision-language models from folders and hub ids, and saying which weights they are.

No code from a model's repository is run and only safetensors are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import is_torchvision_available
from transformers.utils.hub import cached_file, extract_commit_hash

from auditdm.backends.families import FAMILIES, family_of
from auditdm.errors import ConfigError, ModelError
from auditdm.types import content_id

_OURS = frozenset({"trust_remote_code", "use_safetensors", "dtype", "torch_dtype", "output_loading_info", "config"})
_HUB = ("revision", "cache_dir", "local_files_only", "token")  # options that the processor and the config need too
_READ = (  # beside the weights, the files that decide what a model answers
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
_PICTURES = ("image_processor", "tokenizer")  # what a processor needs of its parts
_PIXELS = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}


def load_vlm(
    path_or_id: str | Path,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | Path | None = None,
    *,
    options: Mapping[str, Any] | None = None,
) -> tuple[Any, Any]:
    """Load a vision-language model and its processor, to run or to train.

    Args:
        path_or_id: A model folder, or a hub id.
        dtype: "auto" (float32 on a CPU, bfloat16 on CUDA) or a torch type by name.
        device: "auto" (a GPU if there is one) or a torch device.
        adapter: A LoRA adapter's folder or hub id; it is merged into the weights.
        options: Handed to `from_pretrained`, but for those that bound the pixels of a picture (`min_pixels`,
            `max_pixels` of Qwen-VL), which the processor gets. With `device_map` or `quantization_config` the model
            stays where transformers puts it.

    Returns:
        (model in eval mode, processor that pads on the left). Every weight of the model was in the files.

    Raises:
        ModelError: Nothing there, not a model, no picture input, or weights missing, broken or of another shape.
        ConfigError: An unknown dtype, an option that is set here, or a bound of pixels that this family has not.
    """
    options = dict(options or {})
    if clash := sorted(_OURS & options.keys()):
        raise ConfigError(f"{path_or_id}: options.{clash[0]} is set by auditdm itself; remove it.")
    place = device_of(device, path_or_id)
    kind = dtype_of(dtype, place, path_or_id)
    where = local_folder(path_or_id) or str(path_or_id)
    hub = {key: options[key] for key in _HUB if key in options}
    config = _config(where, hub)
    pixels = {key: options.pop(key) for key in _PIXELS if key in options}
    processor = _processor(where, config, hub)
    _bound_pixels(where, config, processor, pixels)
    attention = family_of(config).attention
    if attention is not None:
        options.setdefault("attn_implementation", dict(attention))
    model = _weights(where, config=config, dtype=kind, **options)
    if adapter is not None:
        model = _merged(model, adapter)
    if not options.keys() & {"device_map", "quantization_config"}:
        model.to(place)
    return model.eval(), processor


def revision_of(
    path_or_id: str | Path, adapter: str | Path | None = None, options: Mapping[str, Any] | None = None
) -> str:
    """Say exactly which weights these are, without loading them.

    Returns:
        The commit of a hub id (the branch, should the hub not tell); 16 hex digits for a folder, over its
        configuration, tokenizer, processor and weights; "+" and the adapter's own revision after it.

    Raises:
        ModelError: Nothing of that name can be found.

    Cost: reads each weight file once.
    """
    folder = local_folder(path_or_id)
    if folder is None:
        hub = {key: value for key, value in (options or {}).items() if key in _HUB}
        try:
            found = cached_file(str(path_or_id), "config.json", **hub)
        except (OSError, ValueError) as error:
            raise _not_found(str(path_or_id), error) from error
        base = extract_commit_hash(found, None) or str(hub.get("revision", "main"))
    else:
        base = _digest(folder)
    return base if adapter is None else f"{base}+{_digest(_adapter_folder(adapter))}"


def local_folder(path_or_id: str | Path) -> Path | None:
    """The folder of that name, or None if it is a hub id.

    Raises:
        ModelError: It is written like a path and nothing, or a file, is there.
    """
    path = Path(path_or_id).expanduser()
    if path.is_dir():
        return path
    like_a_path = isinstance(path_or_id, Path) or path.is_absolute() or str(path_or_id)[:1] in (".", "~")
    if path.exists():
        raise ModelError(f"{path_or_id}: this is a file. Give the folder that holds config.json and the weights.")
    if like_a_path or len(path.parts) > 2:
        raise ModelError(
            f"{path_or_id}: no such folder. Check the path, or give a hub id such as 'google/gemma-3-4b-it'."
        )
    return None


def _not_found(hub_id: str, error: Exception) -> ModelError:
    return ModelError(
        f"{hub_id}: there is no such folder here, and the hub gave no model of that id: {error}\n"
        "Check the spelling; for a gated model log in with `hf auth login`; without network give a local folder."
    )


def _config(where: Path | str, hub: Mapping[str, Any]) -> Any:
    """The model's configuration, once it is certain that it takes pictures."""
    if isinstance(where, Path) and not (where / "config.json").is_file():
        raise ModelError(
            f"{where}: no config.json in it, so this folder is no model. "
            "Give the folder that save_pretrained wrote; for a LoRA adapter name its base and pass adapter=."
        )
    try:
        config = AutoConfig.from_pretrained(where, trust_remote_code=False, **hub)
    except OSError as error:
        raise _not_found(str(where), error) from error
    except (ValueError, KeyError) as error:
        raise ModelError(
            f"{where}: transformers cannot read its config.json: {error}\n"
            "It may need a newer transformers, or code of its own, which is never run here."
        ) from error
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise ModelError(
            f"{where}: a '{config.model_type}' model takes no pictures. "
            "Choose a vision-language model, such as a Gemma 3, PaliGemma, LLaVA, Qwen-VL or SmolVLM."
        )
    return config


def _processor(where: Path | str, config: Any, hub: Mapping[str, Any]) -> Any:
    """The model's processor, with a picture half, padding on the left."""
    read: Any = AutoProcessor
    kind = PROCESSOR_MAPPING.get(type(config), None)
    if not is_torchvision_available() and kind is not None and kind.get_attributes() == [*_PICTURES, "video_processor"]:
        read = without_videos(kind)
    try:
        processor = read.from_pretrained(where, trust_remote_code=False, **hub)
    except ImportError as error:
        raise ModelError(f"{where}: its processor needs a package that is not installed: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{where}: its processor cannot be loaded: {error}\n"
            "A model folder needs the tokenizer and the picture processor beside the weights "
            "(AutoProcessor.save_pretrained writes both)."
        ) from error
    if getattr(processor, "image_processor", None) is None:
        raise ModelError(
            f"{where}: it has a tokenizer but no picture processor. "
            "Add its preprocessor_config.json, or choose a model that takes pictures."
        )
    processor.tokenizer.padding_side = "left"
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return processor


def without_videos(kind: Any) -> Any:
    """A processor class that reads pictures alone.

    The video half of Qwen-VL, SmolVLM, InternVL and LLaVA-OneVision needs torchvision, and without it transformers 5.23
    refuses the whole processor.
    """

    class PicturesOnly(kind):  # type: ignore[misc]
        video_processor = SimpleNamespace(num_frames=None, fps=None)  # SmolVLM's chat template asks for both
        videos: Mapping[str, Any] = {}  # its settings, kept for whoever loads what is saved from here

        @classmethod
        def get_attributes(cls) -> list[str]:
            return list(_PICTURES)

        @classmethod
        def from_args_and_dict(cls, args: Any, processor_dict: Any, **rest: Any) -> Any:
            processor = super().from_args_and_dict([*args, None], processor_dict, **rest)
            processor.videos = processor_dict.get("video_processor", {})
            return processor

        def to_dict(self) -> dict[str, Any]:
            return {**super().to_dict(), "video_processor": self.videos}

    PicturesOnly.__name__ = kind.__name__  # the name is what gets saved
    return PicturesOnly


def _bound_pixels(where: Path | str, config: Any, processor: Any, pixels: Mapping[str, int]) -> None:
    """Set the smallest and largest picture that the processor hands on, in pixels."""
    if not pixels:
        return
    if not set(pixels) <= set(family_of(config).pixel_options):
        known = ", ".join(family.name for family in FAMILIES.values() if family.pixel_options)
        raise ConfigError(
            f"{where}: options.{min(pixels)} is set, but a '{config.model_type}' model has no such bound. "
            f"It is for {known}; remove it."
        )
    edges = {_PIXELS[key]: bound for key, bound in pixels.items()}  # both "edges" are counts of pixels to these
    processor.image_processor.size = {**dict(processor.image_processor.size), **edges}


def _weights(where: Path | str, **options: Any) -> Any:
    """The model with every weight read from its safetensors."""
    make: Any = AutoModelForImageTextToText
    try:
        model, found = make.from_pretrained(
            where, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **options
        )
    except ImportError as error:
        raise ModelError(f"{where}: an option of it needs a package that is not installed: {error}") from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if out_of_memory(error):
            raise ModelError(f"{where}: too large for this machine's memory: {error}") from error
        given = ", ".join(sorted(options.keys() - {"config", "dtype"}))
        raise ModelError(
            f"{where}: the weights cannot be loaded: {error}\n"
            "Only safetensors are read. Copy or download the model again; save_pretrained converts other formats."
            + (f" If the reason is an option, change it; given: {given}." if given else "")
        ) from error
    if missing := sorted(found["missing_keys"]):
        raise ModelError(
            f"{where}: {len(missing)} weights that config.json asks for are not in the files, e.g. '{missing[0]}'. "
            "They would be random numbers. Copy or download the model again."
        )
    return model


def _merged(model: Any, adapter: str | Path) -> Any:
    """The model with the adapter's change added to its weights."""
    from peft import PeftModel

    folder = _adapter_folder(adapter)
    try:
        return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ModelError(
            f"{adapter}: the adapter does not fit this model: {error}\nIt must have been trained on the same base."
        ) from error


def _adapter_folder(adapter: str | Path) -> Path:
    """The adapter's folder, downloaded if it is a hub id, with safetensors in it."""
    from huggingface_hub import snapshot_download

    folder = local_folder(adapter)
    if folder is None:
        try:
            folder = Path(snapshot_download(str(adapter), allow_patterns=["adapter_*.json", "adapter_*.safetensors"]))
        except (OSError, ValueError) as error:
            raise _not_found(str(adapter), error) from error
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / file).is_file():
            raise ModelError(f"{adapter}: no {file} in it, so this folder is no LoRA adapter in safetensors.")
    return folder


def _digest(folder: Path) -> str:
    """The content id of what a folder's answers depend on."""
    files = [folder / name for name in _READ if (folder / name).is_file()]
    parts = []
    for file in [*files, *sorted(folder.glob("adapter_config.json")), *sorted(folder.glob("*.safetensors"))]:
        with file.open("rb") as stream:
            parts += [file.name, hashlib.file_digest(stream, "sha256").hexdigest()]
    return content_id(*parts)


def device_of(device: str, path_or_id: str | Path) -> torch.device:
    """The device that is meant: "auto" is a GPU if there is one. ConfigError, naming the model, where it is none."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"{path_or_id}: device is '{device}'. Known: auto, cpu, cuda, cuda:N, mps.") from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"{path_or_id}: device is '{device}', but torch sees {torch.cuda.device_count()} CUDA devices. "
            "Use device: auto or cpu, or install a torch built for your GPU."
        )
    return place


def dtype_of(dtype: str, place: torch.device, path_or_id: str | Path) -> torch.dtype:
    """The type that is meant: "auto" is bfloat16 on a GPU, else float32. ConfigError where torch has no such type."""
    if dtype == "auto":
        return torch.bfloat16 if place.type == "cuda" else torch.float32
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise ConfigError(f"{path_or_id}: dtype is '{dtype}'. Known: auto, float32, bfloat16, float16.")
    return kind


def out_of_memory(error: BaseException) -> bool:
    """Tell an exhausted memory, of the machine or of a device, from other errors."""
    said = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        words in said for words in ("out of memory", "can't allocate memory", "cannot allocate memory")
    )
