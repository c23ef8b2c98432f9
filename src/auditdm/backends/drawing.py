"""How each class of diffusion pipelines is called: the tables of what can draw and what can edit, without loading it.

Source: the calls of diffusers 0.42. Each class here passes the contract on a tiny pipeline (tests/test_diffusion.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Way(NamedTuple):
    """How one class of pipelines is called."""

    guidance: str = "guidance_scale"  # the argument that says how closely to follow the words
    size: tuple[str, ...] = ("width", "height")  # how the size is told; (): it is that of the picture given
    patch: int = 2  # sides are multiples of this many cells of the VAE
    batches: bool = True  # False: one picture a call, for a list of pictures would be references for one
    least_px: int = 1  # shortest side of a picture to edit
    slimmest: float = math.inf  # longest side over shortest of a picture to edit
    source_px: int = 0  # a picture to edit is handed over as large as this square; 0: as large as its edit
    always: Mapping[str, Any] = MappingProxyType({})


_QWEN = Way(guidance="true_cfg_scale", always={"negative_prompt": " "})  # without one there is no guidance
_FLUX2_EDIT = Way(batches=False, least_px=64, slimmest=8.0)
GENERATORS: Mapping[str, Way] = {
    "FluxPipeline": Way(),
    "Flux2Pipeline": Way(),
    "Flux2KleinPipeline": Way(),
    "StableDiffusion3Pipeline": Way(),
    "QwenImagePipeline": _QWEN,
    "StableDiffusionPipeline": Way(patch=1),
}
EDITORS: Mapping[str, Way] = {
    # Kontext would draw one megapixel whatever size is asked, unless told the area.
    "FluxKontextPipeline": Way(size=("width", "height", "max_area"), always={"_auto_resize": False}),
    "Flux2Pipeline": _FLUX2_EDIT,
    "Flux2KleinPipeline": _FLUX2_EDIT,
    # Its words are read beside the picture at one megapixel, but diffusers 0.42 resizes a lone picture only, not a list.
    "QwenImageEditPipeline": _QWEN._replace(source_px=1024),
    "QwenImageEditPlusPipeline": _QWEN._replace(batches=False),
    "StableDiffusionInstructPix2PixPipeline": Way(size=(), patch=1),
}
