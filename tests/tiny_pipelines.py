"""Tiny random diffusion pipelines of the classes users have, written to a folder without network.

`write_tiny_pipeline("FluxPipeline", folder)` leaves an ordinary pipeline folder that DiffusionPipeline.from_pretrained
loads. The weights are random, so the pictures are noise: good for wiring, not for sense.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers import pre_tokenizers
from transformers.utils import is_torchvision_available

from auditdm.backends import loading

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())  # every text is written with these
QWEN_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# The true FLUX.2 has a PixtralProcessor, which needs torchvision; a tokenizer with a template serves the class as well.
FLUX2_TEMPLATE = (
    "{% for message in messages if message['role'] == 'user' %}{{ '<|im_start|>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ '<|im_end|>' }}{% endfor %}"
)


def write_tiny_pipeline(class_name: str, folder: Path, seed: int = 0) -> Path:
    """Save a pipeline of that class, its weights drawn with the seed."""
    torch.manual_seed(seed)
    make = getattr(diffusers, class_name)
    pipeline = make(**PARTS[class_name]())
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _clip_tokenizer() -> Any:
    tokens = ["<|startoftext|>", "<|endoftext|>", *BYTES, *(f"{byte}</w>" for byte in BYTES)]
    vocabulary = {token: at for at, token in enumerate(tokens)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def _clip(make: Any, width: int = 32) -> Any:
    settings = transformers.CLIPTextConfig(
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        hidden_size=width,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=width,
        vocab_size=2 + 2 * len(BYTES),
    )
    return make(settings).eval()


def _t5_tokenizer() -> Any:
    letters = "\u2581abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!'"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), *((letter, -3.0) for letter in letters)]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=4, model_max_length=512)


def _t5(width: int = 32) -> Any:
    settings = transformers.T5Config(
        d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4, vocab_size=128, decoder_start_token_id=0
    )
    return transformers.T5EncoderModel(settings).eval()


def _vae(latent_channels: int, *, quant: bool = False, **settings: Any) -> Any:
    return diffusers.AutoencoderKL(
        sample_size=32,
        block_out_channels=(4, 4, 4),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=1,
        use_quant_conv=quant,
        use_post_quant_conv=quant,
        **settings,
    ).eval()


def _flux() -> dict[str, Any]:
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[4, 4, 8],
        guidance_embeds=True,
    )
    return {
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
        "text_encoder": _clip(transformers.CLIPTextModel),
        "tokenizer": _clip_tokenizer(),
        "text_encoder_2": _t5(),
        "tokenizer_2": _t5_tokenizer(),
        "transformer": transformer.eval(),
        "vae": _vae(1, shift_factor=0.0609, scaling_factor=1.5035),
    }


def _flux2_parts(text_encoder: Any) -> dict[str, Any]:
    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        timestep_guidance_channels=256,
        axes_dims_rope=[4, 4, 4, 4],
    )
    vae = diffusers.AutoencoderKLFlux2(
        sample_size=32,
        block_out_channels=(4, 4, 4),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=1,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    return {
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
        "text_encoder": text_encoder.eval(),
        "tokenizer": _qwen_tokenizer(chat_template=FLUX2_TEMPLATE),
        "transformer": transformer.eval(),
        "vae": vae.eval(),
    }


def _flux2() -> dict[str, Any]:
    settings = transformers.Mistral3Config(
        text_config={"model_type": "mistral", **_words(), "sliding_window": None},
        vision_config={
            "model_type": "pixtral",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "intermediate_size": 37,
            "image_size": 30,
            "patch_size": 6,
        },
        image_token_index=5,
    )
    return _flux2_parts(transformers.Mistral3ForConditionalGeneration(settings))


def _flux2_klein() -> dict[str, Any]:
    return _flux2_parts(transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**_words(), head_dim=8)))


def _stable_diffusion_3() -> dict[str, Any]:
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        out_channels=4,
    )
    with_projection = transformers.CLIPTextModelWithProjection
    return {
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
        "text_encoder": _clip(with_projection, 16),
        "tokenizer": _clip_tokenizer(),
        "text_encoder_2": _clip(with_projection, 16),
        "tokenizer_2": _clip_tokenizer(),
        "text_encoder_3": _t5(),
        "tokenizer_3": _t5_tokenizer(),
        "transformer": transformer.eval(),
        "vae": _vae(4, shift_factor=0.0609, scaling_factor=1.5035),
    }


def _words() -> dict[str, Any]:
    """A small language model that reads bytes."""
    return {
        "vocab_size": len(QWEN_TOKENS) + len(BYTES),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def _qwen_tokenizer(**settings: Any) -> Any:
    vocabulary = {token: at for at, token in enumerate([*QWEN_TOKENS, *BYTES])}
    return transformers.Qwen2Tokenizer(
        vocab=vocabulary, merges=[], extra_special_tokens=list(QWEN_TOKENS[1:]), model_max_length=4096, **settings
    )


def _qwen_vl() -> Any:
    number = {token: at for at, token in enumerate(QWEN_TOKENS)}
    settings = transformers.Qwen2_5_VLConfig(
        text_config={
            **_words(),
            "rope_parameters": {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1000000.0},
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
            "fullatt_block_indexes": [0],
        },
        vision_start_token_id=number["<|vision_start|>"],
        vision_end_token_id=number["<|vision_end|>"],
        image_token_id=number["<|image_pad|>"],
        video_token_id=number["<|video_pad|>"],
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(settings).eval()


def _qwen_image() -> dict[str, Any]:
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        guidance_embeds=False,
        axes_dims_rope=(8, 4, 4),
    )
    for block in transformer.transformer_blocks:  # random attention hardly hears the words
        block.attn.add_v_proj.weight.data.mul_(20)
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1, 1],  # the editors encode a megapixel whatever they are given, so make it few cells
        num_res_blocks=0,
        temperal_downsample=[False, True, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    for name, weights in vae.named_parameters():  # random biases would drown what was drawn
        if name.endswith("bias"):
            weights.data.zero_()
    vae.decoder.conv_out.weight.data.mul_(4)
    return {
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
        "text_encoder": _qwen_vl(),
        "tokenizer": _qwen_tokenizer(),
        "transformer": transformer.eval(),
        "vae": vae.eval(),
    }


def _qwen_image_edit() -> dict[str, Any]:
    parts = _qwen_image()
    pictures = transformers.Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=112 * 112)
    parts_of_it = {"image_processor": pictures, "tokenizer": parts["tokenizer"]}
    if is_torchvision_available():
        videos = transformers.Qwen2VLVideoProcessor()
        return {**parts, "processor": transformers.Qwen2VLProcessor(**parts_of_it, video_processor=videos)}
    kind = loading.without_videos(transformers.Qwen2VLProcessor)
    kind.__module__ = transformers.Qwen2VLProcessor.__module__  # the library that the index names
    return {**parts, "processor": kind(**parts_of_it)}


def _unet(in_channels: int) -> Any:
    return diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=16,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=4,
    ).eval()


def _safety() -> Any:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    settings = transformers.CLIPConfig(
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 30,
            "patch_size": 10,
        },
        text_config={"hidden_size": 16, "vocab_size": 8, "bos_token_id": 0, "eos_token_id": 1},
        projection_dim=16,
    )
    return StableDiffusionSafetyChecker(settings).eval()


def _stable_diffusion(in_channels: int = 4) -> dict[str, Any]:
    return {
        "unet": _unet(in_channels),
        "scheduler": diffusers.EulerAncestralDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        "vae": _vae(4, quant=True),
        "text_encoder": _clip(transformers.CLIPTextModel),
        "tokenizer": _clip_tokenizer(),
        "safety_checker": _safety(),
        "feature_extractor": transformers.CLIPImageProcessorPil(crop_size=30, size={"shortest_edge": 30}),
    }


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "FluxPipeline": _flux,
    "FluxKontextPipeline": _flux,
    "Flux2Pipeline": _flux2,
    "Flux2KleinPipeline": _flux2_klein,
    "StableDiffusion3Pipeline": _stable_diffusion_3,
    "QwenImagePipeline": _qwen_image,
    "QwenImageEditPipeline": _qwen_image_edit,
    "QwenImageEditPlusPipeline": _qwen_image_edit,
    "StableDiffusionPipeline": _stable_diffusion,
    "StableDiffusionInstructPix2PixPipeline": lambda: _stable_diffusion(in_channels=8),
}
