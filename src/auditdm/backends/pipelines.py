"""Reading diffusion pipelines from folders and hub ids, and finding what two of them share.

No code from a model's repository is run and only safetensors are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
import transformers
from diffusers import DiffusionPipeline, PipelineQuantizationConfig
from transformers.utils import is_torchvision_available

from auditdm.backends.loading import device_of, dtype_of, local_folder, out_of_memory, without_videos
from auditdm.errors import ConfigError, ModelError
from auditdm.types import content_id

Offload = Literal["none", "model", "sequential"]
_OURS = frozenset(
    {"trust_remote_code", "use_safetensors", "dtype", "torch_dtype", "low_cpu_mem_usage", "load_connected_pipeline"}
    | {"custom_pipeline", "custom_revision", "use_onnx", "use_flashpack"}
)
_HUB = ("revision", "cache_dir", "local_files_only", "token")  # options that say where files come from
_FILES = frozenset({".json", ".safetensors", ".txt", ".model", ".jinja"})
_NOTES = ("_", "transformers_version", "torch_dtype", "dtype")  # of a configuration: whence a part, not what it is


class Loading(NamedTuple):
    """How a pipeline is loaded, and where to."""

    device: str  # "auto" or a torch device
    dtype: str  # "auto" or a torch type by name
    offload: str  # one of `Offload`
    options: Mapping[str, Any]  # for from_pretrained


def class_in(folder_or_hub_id: str | Path, options: Mapping[str, Any]) -> str:
    """Read the name of a pipeline's class, and nothing else.

    Raises:
        ModelError: No `model_index.json` there.
        ConfigError: An option that is set here.
    """
    if clash := sorted(_OURS & options.keys()):
        raise ConfigError(f"{folder_or_hub_id}: options.{clash[0]} is set by auditdm itself; remove it.")
    where = local_folder(folder_or_hub_id) or str(folder_or_hub_id)
    hub = {key: options[key] for key in _HUB if key in options}
    try:
        return str(DiffusionPipeline.load_config(where, **hub)["_class_name"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{where}: it has no model_index.json that can be read, so it is no pipeline of diffusers: {error}\n"
            "Give the folder that save_pretrained wrote, or a hub id; for a gated model log in with `hf auth login`."
        ) from error


def load_pipeline(folder_or_hub_id: str | Path, loading: Loading) -> Any:
    """Load a pipeline of the class that its `model_index.json` names, and put it where it works.

    Args:
        folder_or_hub_id: A pipeline folder, or a hub id.
        loading: With `device_map` among the options it stays where diffusers puts it. A `quantization_config` may be a
            mapping of the arguments of PipelineQuantizationConfig.

    Returns:
        The pipeline, without progress bars. Every weight of its models was in the files, as far as they are not
        quantized.

    Raises:
        ModelError: Not found, unreadable, or weights missing.
        ConfigError: An unknown device, dtype or offload, or a shared part of another dtype.
    """
    where, options = str(folder_or_hub_id), dict(loading.options)
    place = device_of(loading.device, where)
    kind = dtype_of(loading.dtype, place, where)
    _check_offload(where, loading.offload, place)
    for name, part in options.items():
        if isinstance(part, torch.nn.Module) and (found := getattr(part, "dtype", kind)) != kind:
            raise ConfigError(f"{where}: options.{name} is a part in {found}, but the pipeline is loaded in {kind}.")
    quantized = options.get("quantization_config")
    if isinstance(quantized, Mapping):
        options["quantization_config"] = PipelineQuantizationConfig(**quantized)
    folder = _folder(folder_or_hub_id, options)
    try:
        if not quantized and "device_map" not in options:
            options |= _whole_parts(folder, kind, options)
        rest = {key: value for key, value in options.items() if key not in _HUB}
        make: Any = DiffusionPipeline
        pipeline = make.from_pretrained(folder, dtype=kind, use_safetensors=True, **rest)
        if "device_map" not in options:
            _check_weights(pipeline)
            _put(pipeline, place, loading.offload)
    except ModelError:
        raise
    except Exception as error:  # a part of any library can raise anything
        if out_of_memory(error):
            raise ModelError(
                f"{where}: too large for {place}: {error}\nUse offload 'model' or 'sequential', dtype bfloat16, "
                "a quantization_config, or a larger device."
            ) from error
        raise ModelError(
            f"{where}: the pipeline cannot be loaded: {error}\n"
            "Only safetensors are read. Copy or download it again, or install what it asks for."
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pipeline_revision(pipeline: Any, folder_or_hub_id: str | Path) -> str:
    """Say exactly which files a loaded pipeline came from.

    Returns:
        The commit of a hub id; 16 hex digits for a folder, over its configurations, tokenizers and weights.

    Cost: reads each file of a folder once.
    """
    folder = Path(pipeline.config["_name_or_path"])
    if local_folder(folder_or_hub_id) is None:
        return folder.name
    files = sorted(file for file in folder.rglob("*") if file.suffix in _FILES and file.is_file())
    return content_id(*(part for file in files for part in (file.relative_to(folder).as_posix(), _hash(file))))


def shared_parts(
    pipeline: Any, folder_or_hub_id: str | Path, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Find the models of a loaded pipeline that another one has too, such as text encoders and VAE.

    A part is the same when its class, its configuration and every byte of its weights are; nothing is substituted.

    Args:
        pipeline: One in memory, e.g. `DiffusionGenerator.pipeline`, not offloaded layer by layer.
        folder_or_hub_id: The one about to be loaded, which must have the same dtype, device and offload.
        options: Its options, as far as they say where files come from.

    Returns:
        Parts by name, to be merged into the other's `options`:
        `DiffusionEditor(kontext, options=shared_parts(generator.pipeline, kontext))`.

    Raises:
        ModelError: The other cannot be found.

    Cost: downloads the other's files if need be; reads the weights of parts of the same class, once each.
    """
    here, there = Path(pipeline.config["_name_or_path"]), _folder(folder_or_hub_id, options or {})
    ours, theirs = _index(here), _index(there)
    return {
        name: part
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module)
        and ours[name] == theirs.get(name)
        and _weights_id(here / name) == _weights_id(there / name)
    }


def _folder(folder_or_hub_id: str | Path, options: Mapping[str, Any]) -> Path:
    """The pipeline's folder, downloaded if it is a hub id."""
    folder = local_folder(folder_or_hub_id)
    if folder is not None:
        return folder
    told = {key: options[key] for key in (*_HUB, "variant") if key in options}
    parts = {key: part for key, part in options.items() if isinstance(part, torch.nn.Module)}  # need no download
    fetch: Any = DiffusionPipeline
    try:
        return Path(fetch.download(str(folder_or_hub_id), use_safetensors=True, **told, **parts))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder_or_hub_id}: it cannot be downloaded: {error}\n"
            "Check the spelling; for a gated model log in with `hf auth login`; without network give a local folder."
        ) from error


def _whole_parts(folder: Path, kind: torch.dtype, options: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that transformers reads. Left to diffusers, a weight that is in no file would be a random number."""
    variant = {"variant": options["variant"]} if "variant" in options else {}
    parts: dict[str, Any] = {}
    for name, entry in _index(folder).items():
        library, class_name = entry if isinstance(entry, list) else (None, None)
        if library != "transformers" or name in options:
            continue
        make: Any = getattr(transformers, str(class_name), object)
        if issubclass(make, transformers.PreTrainedModel):
            parts[name], found = make.from_pretrained(
                folder / name, dtype=kind, use_safetensors=True, output_loading_info=True, **variant
            )
            if missing := sorted(found["missing_keys"]):
                raise _incomplete(folder, name, missing)
        elif issubclass(make, transformers.Qwen2VLProcessor) and not is_torchvision_available():
            parts[name] = without_videos(make).from_pretrained(folder / name)
    return parts


def _check_weights(pipeline: Any) -> None:
    """Refuse a model with weights that no file had; diffusers leaves them without content."""
    for name, part in pipeline.components.items():
        weights = part.named_parameters() if isinstance(part, torch.nn.Module) else ()
        if missing := sorted(key for key, weight in weights if weight.is_meta):
            raise _incomplete(pipeline.config["_name_or_path"], name, missing)


def _incomplete(folder: str | Path, part: str, missing: list[str]) -> ModelError:
    return ModelError(
        f"{folder}: {len(missing)} weights of its {part} are not in the files, e.g. '{missing[0]}'. "
        "They would be random numbers. Copy or download the pipeline again, or use the transformers it was saved with."
    )


def _check_offload(where: str, offload: str, place: torch.device) -> None:
    if offload not in get_args(Offload):
        raise ConfigError(f"{where}: offload is '{offload}'. Known: {', '.join(get_args(Offload))}.")
    if offload == "sequential" and place.type == "cpu":
        raise ConfigError(f"{where}: offload is 'sequential', but the device is a CPU. Use offload: none.")


def _put(pipeline: Any, place: torch.device, offload: str) -> None:
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=place)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=place)
    else:
        pipeline.to(place)


def _index(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((folder / "model_index.json").read_text("utf-8"))
    return index


def _weights_id(folder: Path) -> str:
    """The content id of a part's weights and of what its configuration says about them."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    said = {key: value for key, value in config.items() if not key.startswith(_NOTES)}
    return content_id(json.dumps(said, sort_keys=True), *(_hash(file) for file in sorted(folder.glob("*.safetensors"))))


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
