"""Tiny random vision-language models in the architectures users have, written to a folder without network.

`write_tiny_model("llava", folder)` leaves an ordinary model folder that AutoModelForImageTextToText and
AutoProcessor load. The weights are random, so the answers are words at random: good for wiring, not for sense.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPVisionConfig,
    Gemma2Config,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Gemma3TextConfig,
    GemmaConfig,
    GotOcr2ImageProcessorPil,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen2VLProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessorPil,
    SmolVLMProcessor,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)
from transformers.utils import is_torchvision_available

SIDE_PX, PATCH_PX = 64, 16
IMAGE_TOKENS = (SIDE_PX // PATCH_PX) ** 2
WORDS = (
    "how many what which is are there the a an of in on left right above below colour shape size number red green "
    "blue yellow purple star circle square triangle dog dogs cat yes no none zero one two three four five six cannot "
    "say large small striped digit letter see you do picture answer caption en ? . , : user assistant"
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
QWEN = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
    "turn_start": "<|im_start|>",
    "turn_end": "<|im_end|>",
}
INTERNVL = {
    "context_image_token": "<IMG_CONTEXT>",
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "video_token": "<video>",
    "turn_start": "<|im_start|>",
    "turn_end": "<|im_end|>",
}
SMOLVLM = {
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
    "video_token": "<video>",
    "turn_start": "<|im_start|>",
}
ONEVISION = {
    "image_token": "<image>",
    "video_token": "<video>",
    "turn_start": "<|im_start|>",
    "turn_end": "<|im_end|>",
}
TILES = [f"<row_{row}_col_{col}>" for row in range(1, 5) for col in range(1, 5)]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }} : "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}PLACE {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{{ '<end_of_utterance> ' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)
CHATML = (  # Qwen-VL, InternVL and LLaVA-OneVision
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}PLACE{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = (  # LLaVA-NeXT and LLaVA: no control token between speakers, and the tokenizer writes the first token
    "{% for message in messages %}{{ message['role'] }} : "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}assistant : {% endif %}"
)
SMOL_TURNS = (
    "<|im_start|>{% for message in messages %}{{ message['role'] }} :"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}assistant :{% endif %}"
)


def _tokenizer(extra: dict[str, str] = EXTRA, *, opens: bool = False, tiles: bool = False) -> PreTrainedTokenizerFast:
    """One token a word, and one for a new line.

    Args:
        extra: The family's control tokens.
        opens: Write <bos> before every text, as the tokenizers of Gemma and Llama do.
        tiles: Have tokens for the tiles of a picture; added, but not special.
    """
    tokens = [*SPECIAL.values(), *extra.values(), *WORDS.split(), "\n"]
    vocabulary = {token: at for at, token in enumerate(tokens)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split(Regex(" +"), "removed")]
    )
    if opens:
        inner.post_processor = processors.TemplateProcessing(
            "<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, padding_side="left", **SPECIAL, extra_special_tokens=dict(extra)
    )
    if tiles:
        tokenizer.add_tokens(TILES)
    return tokenizer


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


def _paligemma2(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    images = SiglipImageProcessorPil(size={"height": SIDE_PX, "width": SIDE_PX}, image_seq_length=IMAGE_TOKENS)
    processor = PaliGemmaProcessor(images, tokenizer)
    text = Gemma2Config(
        **_words(tokenizer, width, layers),
        head_dim=width // 4,
        query_pre_attn_scalar=width // 4,
        attn_logit_softcapping=2.0,  # low, so that it shows in a tiny model
        final_logit_softcapping=30.0,
        sliding_window=4096,
        tie_word_embeddings=False,
    )
    model = PaliGemmaForConditionalGeneration(
        PaliGemmaConfig(
            vision_config={**_vision(width).to_dict(), "projection_dim": width},
            text_config=text,
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            projection_dim=width,
            tie_word_embeddings=False,
        )
    )
    return model, processor


def _pictures_alone(kind: Any) -> Any:
    """The processor class as it is loaded here: its video half needs torchvision."""
    from auditdm.backends.loading import without_videos

    return kind if is_torchvision_available() else without_videos(kind)


def _qwen2_5_vl(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    number = tokenizer.convert_tokens_to_ids
    head = width // 4
    model = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            vision_config={
                "depth": 2,
                "hidden_size": width,
                "intermediate_size": 2 * width,
                "num_heads": 4,
                "patch_size": PATCH_PX // 2,
                "out_hidden_size": width,
                "window_size": 2 * PATCH_PX,
                "fullatt_block_indexes": [1],
            },
            text_config={
                **_words(tokenizer, width, layers),
                "rope_parameters": {"rope_type": "default", "mrope_section": _sections(head), "rope_theta": 10000.0},
            },
            **_qwen_tokens(number),
        )
    )
    return model, _qwen_processor(Qwen2_5_VLProcessor, tokenizer)


def _qwen2_vl(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    model = Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(
            vision_config={
                "depth": 2,
                "embed_dim": width,
                "hidden_size": width,
                "mlp_ratio": 2,
                "num_heads": 4,
                "patch_size": PATCH_PX // 2,
            },
            text_config={
                **_words(tokenizer, width, layers),
                "rope_parameters": {
                    "rope_type": "default",
                    "mrope_section": _sections(width // 4),
                    "rope_theta": 10000.0,
                },
            },
            **_qwen_tokens(tokenizer.convert_tokens_to_ids),
        )
    )
    return model, _qwen_processor(Qwen2VLProcessor, tokenizer)


def _qwen3_vl(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    number = tokenizer.convert_tokens_to_ids
    head = width // 4
    model = Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(
            vision_config={
                "depth": 2,
                "hidden_size": width,
                "intermediate_size": 2 * width,
                "num_heads": 4,
                "patch_size": PATCH_PX // 2,
                "out_hidden_size": width,
                "num_position_embeddings": IMAGE_TOKENS,
                "deepstack_visual_indexes": [0],
            },
            text_config={
                **_words(tokenizer, width, layers),
                "head_dim": head,
                "rope_parameters": {
                    "rope_type": "default",
                    "mrope_section": _sections(head),
                    "mrope_interleaved": True,
                    "rope_theta": 10000.0,
                },
            },
            **_qwen_tokens(number),
        )
    )
    return model, _qwen_processor(Qwen3VLProcessor, tokenizer)


def _sections(head: int) -> list[int]:
    """How the halves of a head are shared by time, height and width."""
    rest = head // 2
    return [rest - 2 * (rest // 3), rest // 3, rest // 3]


def _qwen_tokens(number: Callable[[str], int]) -> dict[str, int]:
    return {
        "image_token_id": number("<|image_pad|>"),
        "video_token_id": number("<|video_pad|>"),
        "vision_start_token_id": number("<|vision_start|>"),
        "vision_end_token_id": number("<|vision_end|>"),
    }


def _qwen_processor(kind: Any, tokenizer: PreTrainedTokenizerFast) -> Any:
    images = Qwen2VLImageProcessorPil(
        patch_size=PATCH_PX // 2, min_pixels=(2 * PATCH_PX) ** 2, max_pixels=(3 * PATCH_PX) ** 2
    )
    place = "<|vision_start|><|image_pad|><|vision_end|>"
    return _pictures_alone(kind)(images, tokenizer, None, chat_template=CHATML.replace("PLACE", place))


def _smolvlm(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    model = SmolVLMForConditionalGeneration(
        SmolVLMConfig(
            vision_config={
                "hidden_size": width,
                "intermediate_size": 2 * width,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "image_size": SIDE_PX // 2,
                "patch_size": PATCH_PX // 2,
            },
            text_config=LlamaConfig(**_words(tokenizer, width, layers)),
            image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
            scale_factor=2,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    images = SmolVLMImageProcessorPil(
        size={"longest_edge": SIDE_PX}, max_image_size={"longest_edge": SIDE_PX // 2}, do_image_splitting=True
    )
    processor = _pictures_alone(SmolVLMProcessor)(
        images, tokenizer, None, image_seq_len=IMAGE_TOKENS // 4, chat_template=SMOL_TURNS
    )
    return model, processor


def _vipllava(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    """A model type that the table of families does not have."""
    model = VipLlavaForConditionalGeneration(
        VipLlavaConfig(
            vision_config=_clip(width),
            text_config=LlamaConfig(**_words(tokenizer, width, layers)),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            vision_feature_layers=[-1, -2],
            image_seq_length=IMAGE_TOKENS,
        )
    )
    processor = LlavaProcessor(
        SiglipImageProcessorPil(size={"height": SIDE_PX, "width": SIDE_PX}),
        tokenizer,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TURNS,
    )
    return model, processor


def _clip(width: int) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=SIDE_PX,
        patch_size=PATCH_PX,
        projection_dim=width,
    )


GRID = [[SIDE_PX, 2 * SIDE_PX], [2 * SIDE_PX, SIDE_PX], [2 * SIDE_PX, 2 * SIDE_PX]]


def _llava_next(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    model = LlavaNextForConditionalGeneration(
        LlavaNextConfig(
            vision_config=_clip(width),
            text_config=LlamaConfig(**_words(tokenizer, width, layers)),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            vision_feature_select_strategy="default",
            vision_feature_layer=-2,
            image_grid_pinpoints=GRID,
            image_seq_length=IMAGE_TOKENS,
        )
    )
    processor = LlavaNextProcessor(
        LlavaNextImageProcessorPil(
            size={"shortest_edge": SIDE_PX},
            crop_size={"height": SIDE_PX, "width": SIDE_PX},
            image_grid_pinpoints=GRID,
        ),
        tokenizer,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TURNS,
    )
    return model, processor


def _llava_onevision(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    model = LlavaOnevisionForConditionalGeneration(
        LlavaOnevisionConfig(
            vision_config=_vision(width),
            text_config=Qwen2Config(**_words(tokenizer, width, layers)),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
            image_grid_pinpoints=GRID,
            vision_aspect_ratio="anyres_max_4",
        )
    )
    images = LlavaOnevisionImageProcessorPil(size={"height": SIDE_PX, "width": SIDE_PX}, image_grid_pinpoints=GRID)
    processor = _pictures_alone(LlavaOnevisionProcessor)(
        images,
        tokenizer,
        None,
        num_image_tokens=IMAGE_TOKENS,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_4",
        chat_template=CHATML.replace("PLACE", "<image>\n"),
    )
    return model, processor


def _internvl(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> tuple[Any, Any]:
    model = InternVLForConditionalGeneration(
        InternVLConfig(
            vision_config={
                "hidden_size": width,
                "intermediate_size": 2 * width,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "image_size": [SIDE_PX, SIDE_PX],
                "patch_size": [PATCH_PX, PATCH_PX],
            },
            text_config=Qwen2Config(**_words(tokenizer, width, layers)),
            image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
            image_seq_length=IMAGE_TOKENS // 4,
        )
    )
    images = GotOcr2ImageProcessorPil(
        size={"height": SIDE_PX, "width": SIDE_PX}, crop_to_patches=True, min_patches=1, max_patches=4
    )
    processor = _pictures_alone(InternVLProcessor)(
        images,
        tokenizer,
        None,
        image_seq_length=IMAGE_TOKENS // 4,
        chat_template=CHATML.replace("PLACE", "<IMG_CONTEXT>\n"),
    )
    return model, processor


FAMILIES: dict[str, Callable[[PreTrainedTokenizerFast, int, int], tuple[Any, Any]]] = {
    "llava": _llava,
    "gemma3": _gemma3,
    "idefics3": _idefics3,
    "paligemma": _paligemma,
    "paligemma2": _paligemma2,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "smolvlm": _smolvlm,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "internvl": _internvl,
    "vipllava": _vipllava,
}
TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "gemma3": lambda: _tokenizer(opens=True),  # and its chat template writes <bos> too: one is wanted
    "paligemma": lambda: _tokenizer(opens=True),  # and its processor writes <bos> behind the picture: one is wanted
    "paligemma2": lambda: _tokenizer(opens=True),
    "llava_next": lambda: _tokenizer(opens=True),  # and its chat template does not
    "vipllava": lambda: _tokenizer(opens=True),
    "qwen2_vl": lambda: _tokenizer(QWEN),
    "qwen2_5_vl": lambda: _tokenizer(QWEN),
    "qwen3_vl": lambda: _tokenizer(QWEN),
    "idefics3": lambda: _tokenizer(tiles=True),
    "smolvlm": lambda: _tokenizer(SMOLVLM, tiles=True),
    "llava_onevision": lambda: _tokenizer(ONEVISION),
    "internvl": lambda: _tokenizer(INTERNVL),
}


def write_tiny_model(family: str, folder: Path, *, width: int = 32, layers: int = 2, seed: int = 0) -> Path:
    """Write a random model of the family to the folder, and return the folder."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model, processor = FAMILIES[family](TOKENIZERS.get(family, _tokenizer)(), width, layers)
        for parameter in model.parameters():
            if parameter.ndim > 1:  # the usual 0.02 gives nearly equal logits; answers should differ by picture
                torch.nn.init.normal_(parameter, std=0.5 / parameter.shape[-1] ** 0.25)
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
