"""Where a model's weights are and how many there are, as far as that can be known without loading or fetching any."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from auditdm.backends.specs import weights_of

_SIZE = re.compile(r"(?<![a-z0-9.])([ae]?)(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")  # 4b, E4B, 256M, and A3B of mixtures
_DRAWS = ("transformer", "unet")  # the part of a pipeline that works at every step


class Whereabouts(NamedTuple):
    """Weights that this machine would load."""

    place: str  # the folder, or the id on the hub
    revision: str | None  # the commit in the cache of the hub; None: a folder, or not here
    billions: float | None  # parameters at work; None: neither the files are here nor the name tells


def whereabouts(role: str, spec: str, options: Mapping[str, Any]) -> Whereabouts | None:
    """Look for the weights of a spec in its folder or in the cache of the hub.

    Args:
        role: "model", "generator" or "editor".
        spec: As in a configuration.
        options: Those for `from_pretrained`; `revision` and `cache_dir` are read.

    Returns:
        None where this machine loads no weights that it knows of: an endpoint, a rule, a class of the user's.

    Raises:
        ConfigError: Nothing is known under that spec.

    Cost: reads the headers of the weights' files; no network.
    """
    where = weights_of(role, spec)
    if where is None:
        return None
    folder = where if isinstance(where, Path) else _cached(where, options)
    revision = folder.name if folder is not None and not isinstance(where, Path) else None
    counted = parameters_in(folder) if folder is not None else None
    billions = counted / 1e9 if counted else billions_named(str(where))
    return Whereabouts(str(where if folder is None else folder), revision, billions)


def billions_named(name: str) -> float | None:
    """The size that a name tells, in billions of parameters; of a mixture of experts what is at work. None: none told.

    Example:
        >>> [billions_named(name) for name in ("google/gemma-3-4b-it", "Qwen3-VL-30B-A3B", "SmolVLM-256M", "FLUX.1-dev")]
        [4.0, 3.0, 0.256, None]
    """
    sizes = {
        found[1]: float(found[2]) * (1.0 if found[3] == "b" else 1e-3)
        for found in _SIZE.finditer(name.rpartition("/")[2].lower())
    }
    return next((sizes[mark] for mark in ("a", "e", "") if mark in sizes), None)


def parameters_in(folder: Path) -> int | None:
    """Count the parameters in a folder's safetensors, of a pipeline those that draw; None where there are none, or a part.

    Raises:
        OSError: A file cannot be read.
    """
    folder = next((folder / part for part in _DRAWS if (folder / part).is_dir()), folder)
    files = sorted(folder.glob("*.safetensors"))
    for index in folder.glob("*.safetensors.index.json"):
        if set(json.loads(index.read_text("utf-8"))["weight_map"].values()) - {file.name for file in files}:
            return None
    counts = [_parameters_of(file) for file in files]
    return sum(count for count in counts if count is not None) if counts and None not in counts else None


def _parameters_of(file: Path) -> int | None:
    """The header of a safetensors file tells every shape; None where it has no such header."""
    with file.open("rb") as stream:
        try:
            length = struct.unpack("<Q", stream.read(8))[0]
            header: Any = json.loads(stream.read(length)) if length < 100_000_000 else None
            return sum(int(math.prod(entry["shape"])) for key, entry in header.items() if key != "__metadata__")
        except (struct.error, ValueError, AttributeError, KeyError, TypeError):
            return None


def _cached(hub_id: str, options: Mapping[str, Any]) -> Path | None:
    """The folder of a hub id in the cache of the hub, if it is there."""
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    given = {key: options[key] for key in ("revision", "cache_dir") if key in options}
    for name in ("config.json", "model_index.json"):
        try:
            found = try_to_load_from_cache(hub_id, name, **given)
        except HFValidationError:
            return None
        if isinstance(found, str):
            return Path(found).parent
    return None
