"""Tiny random vision-language models in the architectures users have, written to a folder without network.

`write_tiny_model("llava", folder)` leaves an ordinary model folder that AutoModelForImageTextToText and
AutoProcessor load. The weights are random, so the answers are words at random: good for wiring, not for sense.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Gemma3TextConfig,
    GemmaConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
)

SIDE_PX, PATCH_PX = 64, 16
IMAGE_TOKENS = (SIDE_PX // PATCH_PX) ** 2
WORDS = (
    "how many what which is are there the a an of in on left right above below colour shape size number red green "
    "blue yellow purple star circle square triangle dog dogs cat yes no none zero one two three four five six cannot "
    "say large small striped digit letter see you do picture ? . , : user assistant"
)
SPECIAL = {
    "pad_token": "<pad>",
    "bos_token": "<bos>",
    "eos_token": "<eos>",
    "unk_token": "<unk>",
}
EXTRA = {
    "image_token": "<image>",
    "boi_token": "<boi>",
    "eoi_token": "<eoi>",
    "end_of_turn": "<end_of_utterance>",
    "fake_token": "<fake_token_around_image>",
    "global_tag": "<global-img>",
}
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }} : "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}PLACE {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{{ '<end_of_utterance> ' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)


def _tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: at for at, token in enumerate([*SPECIAL.values(), *EXTRA.values(), *WORDS.split()])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, padding_side="left", **SPECIAL, extra_special_tokens=dict(EXTRA)
    )


def _vision(width: int) -> SiglipVisionConfig:
    return SiglipVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=SIDE_PX,
        patch_size=PATCH_PX,
        vision_use_head=False,
    )


def _words(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> dict[str, Any]:
    """Options every decoder takes."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _llava(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=_vision(width),
            text_config=Qwen2Config(**_words(tokenizer, width, layers)),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            vision_feature_select_strategy="full",
            vision_feature_layer=-1,
        )
    )
    processor = LlavaProcessor(
        SiglipImageProcessorPil(size={"height": SIDE_PX, "width": SIDE_PX}),
        tokenizer,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE.replace("PLACE", "<image>"),
    )
    return model, processor


def _gemma3(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    model = Gemma3ForConditionalGeneration(
        Gemma3Config(
            vision_config=_vision(width).to_dict(),
            text_config=Gemma3TextConfig(
                **_words(tokenizer, width, layers), head_dim=width // 4, tie_word_embeddings=False
            ),
            mm_tokens_per_image=IMAGE_TOKENS,
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            tie_word_embeddings=False,  # tied and random, Gemma repeats its last token for ever
            boi_token_index=tokenizer.convert_tokens_to_ids("<boi>"),
            eoi_token_index=tokenizer.convert_tokens_to_ids("<eoi>"),
        )
    )
    weight = model.model.multi_modal_projector.mm_input_projection_weight
    torch.nn.init.normal_(weight, std=0.1)  # transformers starts it at zero, which blinds the model
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": SIDE_PX, "width": SIDE_PX}),
        tokenizer,
        image_seq_length=IMAGE_TOKENS,
        chat_template=CHAT_TEMPLATE.replace("PLACE", "<boi>"),
    )
    return model, processor


def _idefics3(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    model = Idefics3ForConditionalGeneration(
        Idefics3Config(
            vision_config={
                "hidden_size": width,
                "intermediate_size": 2 * width,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "image_size": SIDE_PX,
                "patch_size": PATCH_PX // 2,
            },
            text_config=LlamaConfig(**_words(tokenizer, width, layers)),
            image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
            scale_factor=2,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    processor = Idefics3Processor(
        Idefics3ImageProcessorPil(
            size={"longest_edge": SIDE_PX}, max_image_size={"longest_edge": SIDE_PX}, do_image_splitting=False
        ),
        tokenizer,
        image_seq_len=IMAGE_TOKENS,
        chat_template=CHAT_TEMPLATE.replace("PLACE", "<image>"),
    )
    return model, processor


def _paligemma(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    images = SiglipImageProcessorPil(size={"height": SIDE_PX, "width": SIDE_PX}, image_seq_length=IMAGE_TOKENS)
    processor = PaliGemmaProcessor(images, tokenizer)  # adds 1152 location and segment tokens; no chat template
    model = PaliGemmaForConditionalGeneration(
        PaliGemmaConfig(
            vision_config={**_vision(width).to_dict(), "projection_dim": width},
            text_config=GemmaConfig(**_words(tokenizer, width, layers), head_dim=width // 4, tie_word_embeddings=False),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            projection_dim=width,
            tie_word_embeddings=False,
        )
    )
    return model, processor


FAMILIES: dict[str, Callable[[PreTrainedTokenizerFast, int, int], tuple[Any, Any]]] = {
    "llava": _llava,
    "gemma3": _gemma3,
    "idefics3": _idefics3,
    "paligemma": _paligemma,
}


def write_tiny_model(family: str, folder: Path, *, width: int = 32, layers: int = 2, seed: int = 0) -> Path:
    """Write a random model of the family to the folder, and return the folder."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model, processor = FAMILIES[family](_tokenizer(), width, layers)
        for parameter in model.parameters():
            if parameter.ndim > 1:  # the usual 0.02 gives nearly equal logits; answers should differ by picture
                torch.nn.init.normal_(parameter, std=0.5 / parameter.shape[-1] ** 0.25)
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
