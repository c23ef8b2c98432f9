"""Tiny models in the architectures that people use, built from their config classes.

Every one has a SigLIP tower of 64 x 64 pictures and 16 patches and speaks the world's words. What comes out of `build` is
an ordinary model and processor: saved, any `AutoModelForImageTextToText` / `AutoProcessor` loads them.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Gemma3TextConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from auditdm.sandbox.language import CANNOT_SAY, NONE, SKILLS, plural_of
from auditdm.sandbox.prompts import PROMPT_WORDS
from auditdm.sandbox.renderer import CELL_PX, SIDE_PX
from auditdm.sandbox.world import COLOURS, COLUMNS, FACES, NOUNS, PATTERNS, ROWS, SIZES

Family = Literal["llava", "gemma3", "idefics3"]
TOWER_WIDTH, TOWER_LAYERS = 160, 2
REPLY = "<reply>"
_MARKS = ["<pad>", "<bos>", "<eos>", "<unk>", "<image>", REPLY, "<boi>", "<eoi>"]
_IDEFICS_MARKS = ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
_IDEFICS_MARKS += [f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)]
_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<reply> {% endif %}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}@IMAGE@ {% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{% if m['role'] == 'assistant' %} <eos>{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<reply> {% endif %}"
)


def vocabulary() -> list[str]:
    """Every word of the world, sorted."""
    words = {w for template, _ in SKILLS.values() for w in template.split() if "{" not in w}
    words |= {w for faces in FACES.values() for w in faces}
    for known in (NOUNS, COLOURS, SIZES, PATTERNS, ROWS, COLUMNS):
        words |= set(known)
    words |= {plural_of(n) for n in (*NOUNS, "shape", "sign")} | {"shape", "sign", "one", "the", "nothing"}
    words |= {str(n) for n in range(19)} | {"yes", "no", "left", "middle", "right", NONE, *CANNOT_SAY.split()}
    words |= {"add", "remove", "paint", "make", "move", "turn", "at", "to", "into", "and"} | set(PROMPT_WORDS)
    return sorted(words)


def tokenizer(family: Family) -> PreTrainedTokenizerFast:
    """One token a word."""
    marks = _MARKS + (_IDEFICS_MARKS if family == "idefics3" else [])
    words = Tokenizer(WordLevel({w: n for n, w in enumerate(marks + vocabulary())}, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=marks[4:],
        extra_special_tokens={"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"},
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def build(family: Family, *, width: int, layers: int, seed: int) -> tuple[Any, Any]:
    """A model of random weights and its processor.

    Args:
        family: The architecture.
        width: Of the language model; a multiple of 32 (heads of 32).
        layers: Of the language model.
        seed: Of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        words = tokenizer(family)
        model, processor = {"llava": _llava, "gemma3": _gemma3, "idefics3": _idefics3}[family](words, width, layers)
    model.generation_config.update(
        eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id, bos_token_id=words.bos_token_id
    )
    return model.eval(), processor


def _tower() -> dict[str, Any]:
    return {
        "hidden_size": TOWER_WIDTH,
        "intermediate_size": 4 * TOWER_WIDTH,
        "num_hidden_layers": TOWER_LAYERS,
        "num_attention_heads": 5,
        "image_size": SIDE_PX,
        "patch_size": CELL_PX,
    }


def _text(words: PreTrainedTokenizerFast, width: int, layers: int) -> dict[str, Any]:
    return {
        "vocab_size": len(words),
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
        "num_key_value_heads": width // 32,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }


def _pictures(processor_class: Any, **options: Any) -> Any:
    size = {"height": SIDE_PX, "width": SIDE_PX}
    return processor_class(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3, **options)


def _llava(words: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    config = LlavaConfig(
        vision_config=SiglipVisionConfig(**_tower(), vision_use_head=False),
        text_config=Qwen2Config(**_text(words, width, layers)),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
    processor = LlavaProcessor(
        _pictures(SiglipImageProcessorPil),
        words,
        patch_size=CELL_PX,
        vision_feature_select_strategy="full",
        image_token="<image>",
        num_additional_image_tokens=0,
        chat_template=_TEMPLATE.replace("@IMAGE@", "<image>"),
    )
    return LlavaForConditionalGeneration(config), processor


def _gemma3(words: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    text = _text(words, width, layers)
    rope = text.pop("rope_parameters")
    config = Gemma3Config(
        vision_config=SiglipVisionConfig(**_tower(), vision_use_head=False),
        text_config=Gemma3TextConfig(
            **text,
            head_dim=32,
            query_pre_attn_scalar=32,
            layer_types=["full_attention"] * layers,
            rope_parameters={"full_attention": rope, "sliding_attention": rope},
        ),
        mm_tokens_per_image=16,
        boi_token_index=words.convert_tokens_to_ids("<boi>"),
        eoi_token_index=words.convert_tokens_to_ids("<eoi>"),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=True,
    )
    processor = Gemma3Processor(
        _pictures(Gemma3ImageProcessorPil, do_pan_and_scan=False),
        words,
        chat_template=_TEMPLATE.replace("@IMAGE@", "<boi>"),
        image_seq_length=16,
    )
    model = Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.02)  # the library: zeros
    return model, processor


def _idefics3(words: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    config = Idefics3Config(
        vision_config=_tower(),
        text_config=LlamaConfig(**_text(words, width, layers)).to_dict(),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=1,
        tie_word_embeddings=True,
        pad_token_id=words.pad_token_id,
    )
    pictures = Idefics3ImageProcessorPil(
        size={"longest_edge": SIDE_PX},
        max_image_size={"longest_edge": SIDE_PX},
        do_image_splitting=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    processor = Idefics3Processor(
        pictures, words, image_seq_len=16, chat_template=_TEMPLATE.replace("@IMAGE@", "<image>")
    )
    return Idefics3ForConditionalGeneration(config), processor


def tower_of(model: Any) -> Any:
    """The vision tower."""
    return model.model.vision_model if hasattr(model.model, "vision_model") else model.model.vision_tower


def projector_of(model: Any) -> Any:
    """What carries the tower's features into the language model."""
    return model.model.connector if hasattr(model.model, "connector") else model.model.multi_modal_projector


def language_model_of(model: Any) -> Any:
    """The language model, without its head."""
    return model.model.text_model if hasattr(model.model, "text_model") else model.model.language_model
