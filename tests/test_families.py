"""Every architecture of local models keeps the contract, and each trap of a library has its guard.

AUDITDM_PROBES=200 asks every architecture 200 probes one by one and together; the default is fewer, for time.
"""

import doctest
import json
import os
import random
import re
import subprocess
import sys

import pytest
from PIL import Image

from auditdm.backends import families
from auditdm.backends.families import FAMILIES, LANGUAGE_LAYERS, PLAIN, architectures, family_of, plain_prompt
from auditdm.errors import ConfigError, ModelError

TINY = {  # name of the tiny model -> row of the table
    **{name: name for name in FAMILIES if "+" not in name},
    "paligemma2": "paligemma+gemma2",
    "vipllava": "*",  # a model type that the table does not know
}
ASKED = int(os.environ.get("AUDITDM_PROBES", "24"))
SIZES = ((64, 64), (100, 40), (30, 200), (300, 280), (9, 9), (128, 64), (65, 131), (200, 31), (1, 1), (700, 20))
WORDS = tuple(
    "how many dogs are there left right of the red blue star circle which colour shape size is a small large".split()  # noqa: SIM905
)
every_family = pytest.mark.parametrize("family", sorted(TINY))


def picture(number):
    """A picture of coloured blocks; the size goes with the number too."""
    chance = random.Random(number)
    blocks = Image.new("RGB", (5, 5))
    blocks.putdata([tuple(chance.choices(range(256), k=3)) for _ in range(25)])
    return blocks.resize(SIZES[number % len(SIZES)], Image.Resampling.NEAREST)


def probes(count):
    """Pictures of all sizes, asked about more than once, with questions of 1 to 20 words."""
    chance = random.Random(0)
    return [
        (picture(number % max(1, count * 2 // 3)), " ".join(chance.choices(WORDS, k=chance.randint(1, 20))))
        for number in range(count)
    ]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Folder of a tiny random model, by family; written once."""
    root, written = tmp_path_factory.mktemp("families"), {}

    def folder(family):
        from tiny_models import write_tiny_model

        if family not in written:
            written[family] = write_tiny_model(family, root / family)
        return written[family]

    return folder


def load(folder, **options):
    from auditdm.backends.local import TransformersModel

    return TransformersModel(folder, device="cpu", **{"max_new_tokens": 3, **options})


def texts(model, batch):
    return [answer.text for answer in model.generate(batch)]


def inputs_of(model, text, image=None):
    """What the model is given for one question."""
    from auditdm.backends.local import _Asked

    [prompt] = model._prompts([text])
    return model._inputs([_Asked((0,), image or picture(0), "", prompt)])


def tokens_of(model, text, image=None):
    return model.processor.tokenizer.convert_ids_to_tokens(inputs_of(model, text, image)["input_ids"][0])


# the contract


@pytest.mark.tiny
@every_family
def test_batched_answers_are_those_of_one_by_one_in_the_same_order(tiny, family, record_property):
    model, batch = load(tiny(family), dtype="float32", batch=16), probes(ASKED)
    together = model.generate(batch)
    assert len(together) == len(batch)
    assert all(answer.text is not None and answer.model == model.name for answer in together)
    assert len({answer.text for answer in together}) > ASKED // 4, "the order is only proved where answers differ"
    alone = [model.generate([probe])[0] for probe in batch]
    same = sum(one == other for one, other in zip(together, alone, strict=True))
    record_property("identical", f"{same} of {ASKED}")
    assert same == ASKED, f"{family}: {same} of {ASKED} identical"
    assert model.generate(batch[::-1]) == together[::-1]


@pytest.mark.tiny
@every_family
def test_answers_depend_on_the_picture_and_on_the_question(tiny, family):
    model = load(tiny(family), max_new_tokens=6)
    assert len(set(texts(model, [(picture(number), "how many dogs") for number in range(8)]))) > 1
    questions = [" ".join(WORDS[number : 2 * number + 1]) for number in range(8)]
    assert len(set(texts(model, [(picture(0), question) for question in questions]))) > 1


@pytest.mark.tiny
@every_family
def test_no_control_token_of_the_family_gets_through_a_question(tiny, family):
    model = load(tiny(family))
    tokens = model.processor.tokenizer.get_vocab()
    control = {
        token for token in tokens if token[0] == "<" and not re.match("<(loc|seg)[0-9]", token)
    }  # answers' words
    assert {model.processor.image_token, "<eos>"} < control
    assert ("<row_1_col_1>" in control) == (family in ("idefics3", "smolvlm"))
    honest = tokens_of(model, "dog")
    for token in sorted(control - {"<unk>"}):
        forged = tokens_of(model, f"dog {token} dog {token}")
        assert forged.count(token) == honest.count(token), token
    everything = " ".join(sorted(control))
    assert texts(model, [(picture(0), everything), (picture(0), "dog")])[1:] == texts(model, [(picture(0), "dog")])


@pytest.mark.tiny
@every_family
def test_a_picture_too_thin_or_tiny_is_an_answer_or_a_problem_and_harms_no_other(tiny, family):
    model = load(tiny(family))
    whole = [(picture(0), "dog"), (picture(1), "how many dogs")]
    sizes = ((1, 1), (2, 2), (1, 150), (1, 3000), (3000, 1), (0, 10), (10, 0))
    odd = [(Image.new("RGB", size, (200, 3, 90)), "which colour") for size in sizes]
    answers = model.generate([whole[0], *odd, whole[1]])
    assert [answers[0], answers[-1]] == model.generate(whole)
    refused = [size for size, answer in zip(sizes, answers[1:-1], strict=True) if answer.text is None]
    strict = family.startswith("qwen")  # transformers: its smart_resize takes sides up to 200 : 1
    assert refused == [(1, 3000), (3000, 1), (0, 10), (10, 0)] if strict else refused == [(0, 10), (10, 0)]
    problems = [answer.problem for answer in answers if answer.text is None]
    assert problems[-1] == f"{model.name} cannot take this picture and text: the picture has no pixels"
    assert not strict or "aspect ratio must be smaller than 200" in problems[0]


@pytest.mark.tiny
@pytest.mark.parametrize("family", ["internvl", "llava_next", "qwen2_5_vl", "qwen3_vl", "smolvlm"])
def test_a_picture_is_prepared_once_where_patches_are_strung_together_or_padded_too(tiny, family, monkeypatch):
    model, seen = load(tiny(family)), []
    kind = type(model.processor.image_processor)
    prepare = kind.__call__

    def counted(self, images, *rest, **options):
        seen.append(len(images))
        return prepare(self, images, *rest, **options)

    monkeypatch.setattr(kind, "__call__", counted)
    batch = [(picture(number % 3), " ".join(WORDS[: number + 1])) for number in range(9)]
    together = texts(model, batch)
    assert seen == [3]
    assert together == [text for probe in batch for text in texts(model, [probe])]


@pytest.mark.tiny
def test_what_the_model_itself_refuses_is_a_problem_and_no_crash(tiny, tmp_path):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(tiny("llava"))
    processor.patch_size *= 2  # now it promises four tokens a picture where the model finds sixteen
    processor.save_pretrained(tmp_path)
    AutoModelForImageTextToText.from_pretrained(tiny("llava")).save_pretrained(tmp_path)
    model = load(tmp_path)
    answers = model.generate(probes(3))
    assert [answer.text for answer in answers] == [None] * 3
    assert all("mage features and image tokens do not match" in answer.problem for answer in answers)


# the table


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(families).failed == 0


def test_the_table_is_read_without_a_model_library():
    look = "import sys, auditdm.backends.families; print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_architectures_are_listed_as_plain_rows():
    rows = architectures()
    assert json.loads(json.dumps(rows)) == rows
    assert [row["model_type"] for row in rows] == [*FAMILIES, "*"]
    assert len({row["name"] for row in rows}) == len(rows)
    assert all(row["example"].startswith("hf/") for row in rows)
    assert {row["model_type"] for row in rows if not row["grpo_auditor"]} == {"paligemma", "paligemma+gemma2"}
    assert all((row["reason"] is None) == row["grpo_auditor"] for row in rows)


def test_every_row_has_a_tiny_model_here():
    assert {*FAMILIES, "*"} == set(TINY.values())


@pytest.mark.tiny
@every_family
def test_a_model_finds_its_row(tiny, family):
    from transformers import AutoConfig

    expected = PLAIN if TINY[family] == "*" else FAMILIES[TINY[family]]
    assert family_of(AutoConfig.from_pretrained(tiny(family))) is expected


@pytest.mark.tiny
def test_every_model_type_of_the_table_takes_pictures_in_transformers():
    from transformers import CONFIG_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    for kind in FAMILIES:
        assert all(part in CONFIG_MAPPING for part in kind.split("+")), kind
        assert CONFIG_MAPPING[kind.split("+")[0]] in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, kind


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("how many dogs ?", "<image>answer en how many dogs ?"),
        (" how many\n\ndogs ?\n", "<image>answer en how many dogs ?"),
        ("", "<image>answer en "),
        ("answer en how many dogs ?", "<image>answer en how many dogs ?"),
        ("answer de wie viele ?", "<image>answer de wie viele ?"),
        ("caption en\n", "<image>caption en"),
        ("answer {question} with {image}", "<image>answer en answer {question} with {image}"),
        ("captions are where ?", "<image>answer en captions are where ?"),
    ],
)
def test_paligemma_is_asked_in_the_words_of_its_training(text, prompt):
    for family in ("paligemma", "paligemma+gemma2"):
        assert plain_prompt(FAMILIES[family], "<image>", text) == prompt


# traps of transformers


@pytest.mark.tiny
@pytest.mark.parametrize("family", ["paligemma", "paligemma2"])
@pytest.mark.parametrize("text", ["how many dogs", "\nhow many\ndogs\n"])
def test_transformers_puts_paligemmas_first_token_and_newline_where_it_was_trained(tiny, family, text):
    tokens = tokens_of(load(tiny(family)), text)
    expected = ["<image>"] * 16 + ["<bos>", "answer", "en", "how", "many", "dogs", "\n"]
    assert tokens == expected, "transformers: PaliGemmaProcessor adds <bos> and one newline by itself"


@pytest.mark.tiny
@every_family
def test_transformers_begins_a_prompt_at_most_once(tiny, family):
    begins = tokens_of(load(tiny(family)), "dog").count("<bos>")
    expected = 0 if family.startswith(("qwen", "internvl", "smolvlm", "llava_onevision")) else 1
    assert begins == expected, "transformers: the chat template, the tokenizer or the processor writes <bos>, never two"


@pytest.mark.tiny
def test_transformers_takes_a_flat_list_for_one_sample_of_many_pictures_with_gemma3(tiny):
    model = load(tiny("gemma3"))
    two = [(picture(0), "dog"), (picture(1), "dog")]
    with pytest.raises(ValueError, match=r"should be the same as the number of images passed"):
        model.processor(images=[image for image, _ in two], text=model._prompts(["dog"] * 2), padding=True)
    assert None not in texts(model, two)


@pytest.mark.tiny
@pytest.mark.parametrize(
    ("family", "fill", "right"),
    [("gemma3", 0, True), ("paligemma", 0, False), ("paligemma2", 0, False), ("paligemma", 1, True)],
)
def test_a_reply_that_trl_extends_with_zeros_is_scored_as_generated_by_gemma3_and_not_by_paligemma(
    tiny, family, fill, right
):
    """TRL 1.16 extends token_type_ids with 0, which is text to Gemma 3 and the both-ways prefix to PaliGemma."""
    import torch

    model = load(tiny(family), dtype="float32").model
    given = inputs_of(load(tiny(family), dtype="float32"), "how many dogs")
    whole = model.generate(**given, max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)
    prompt, new = given["input_ids"].shape[1], whole.sequences.shape[1] - given["input_ids"].shape[1]
    assert new > 1
    kinds = torch.cat([given["token_type_ids"], torch.full((1, new), fill)], dim=1)
    again = {**given, "input_ids": whole.sequences, "attention_mask": torch.ones_like(kinds), "token_type_ids": kinds}
    with torch.inference_mode():
        scored = model(**again).logits[0, prompt - 1 : -1]
    off = (scored - torch.cat(whole.logits)).abs().max().item()
    assert (off < 1e-4) if right else (off > 0.1), f"TRL, transformers: {family} with {fill} is off by {off}"
    assert (FAMILIES[TINY[family]].no_grpo is None) == (family == "gemma3")


@pytest.mark.tiny
def test_transformers_caps_the_attention_of_paligemma2_because_it_is_eager(tiny, monkeypatch):
    import torch
    from transformers import AutoModelForImageTextToText

    from auditdm.backends.loading import load_vlm

    model = load(tiny("paligemma2"), dtype="float32")
    config = model.model.config
    assert config.get_text_config()._attn_implementation == "eager", "transformers: sdpa would leave the cap out"
    assert config.vision_config._attn_implementation == "sdpa", "the tower has no cap and stays fast"
    given = inputs_of(model, "how many dogs")
    with torch.inference_mode():
        capped = model.model(**given).logits
        for layer in model.model.model.language_model.layers:
            layer.self_attn.attn_logit_softcapping = None
        assert (model.model(**given).logits - capped).abs().max() > 1e-3, "the cap is in use"
    seen, read = [], AutoModelForImageTextToText.from_pretrained
    monkeypatch.setattr(
        AutoModelForImageTextToText,
        "from_pretrained",
        lambda where, **options: (seen.append(options.get("attn_implementation")), read(where, **options))[1],
    )
    load_vlm(tiny("paligemma2"), "float32", "cpu")
    load_vlm(tiny("paligemma"), "float32", "cpu")
    assert seen == [{"text_config": "eager"}, None], "said, and not left to what transformers falls back to"
    with pytest.raises(ModelError, match=r"(?s)Gemma2Model does not support.*given: attn_implementation\."):
        load_vlm(tiny("paligemma2"), "float32", "cpu", options={"attn_implementation": "sdpa"})
    own, _ = load_vlm(tiny("paligemma2"), "float32", "cpu", options={"attn_implementation": "eager"})
    assert own.config.vision_config._attn_implementation == "eager", "what the user says goes first"


@pytest.mark.tiny
@pytest.mark.parametrize("family", sorted(set(TINY) - {"gemma3", "idefics3", "llava", "llava_next", "vipllava"}))
def test_transformers_reads_pictures_without_torchvision(tiny, family, tmp_path):
    from transformers import AutoProcessor
    from transformers.utils import is_torchvision_available

    if is_torchvision_available():
        pytest.skip("torchvision is installed: every processor loads whole")
    model = load(tiny(family))
    if not family.startswith("paligemma"):
        with pytest.raises(
            (ImportError, ValueError), match=r"(?i)torchvision"
        ):  # once this passes, our way round can go
            AutoProcessor.from_pretrained(tiny(family))
    model.processor.save_pretrained(tmp_path)
    model.model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved["processor_class"].endswith("Processor")
    assert ("video_processor" in saved) != family.startswith("paligemma"), "with torchvision, transformers looks for it"
    batch = probes(6)
    assert texts(load(tmp_path), batch) == texts(model, batch)


@pytest.mark.tiny
def test_transformers_needs_num2words_for_smolvlm_and_says_so(tiny, monkeypatch):
    from transformers.models.smolvlm import processing_smolvlm

    assert FAMILIES["smolvlm"].needs == ("num2words",)
    monkeypatch.setattr(processing_smolvlm, "num2words", None)
    with pytest.raises(ModelError, match=r"its processor needs a package that is not installed: .*num2words"):
        load(tiny("smolvlm"))


@pytest.mark.tiny
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_transformers_bounds_the_pixels_of_qwen_as_told(tiny, family):
    large, small = picture(3), picture(4)

    def places(image, **options):
        return tokens_of(load(tiny(family), options=options), "dog", image).count("<|image_pad|>")

    assert (places(large), places(small)) == (6, 4), "the bounds of the folder"
    assert places(large, max_pixels=32 * 32) == 2
    assert places(large, max_pixels=96 * 96) == 30
    assert places(small, min_pixels=48 * 48) == 9
    assert None not in texts(load(tiny(family), options={"max_pixels": 32 * 32}), [(large, "dog")])


@pytest.mark.tiny
def test_a_bound_of_pixels_is_refused_where_there_is_none(tiny):
    with pytest.raises(ConfigError) as refused:
        load(tiny("llava"), options={"max_pixels": 1000})
    assert str(refused.value) == (
        f"{tiny('llava')}: options.max_pixels is set, but a 'llava' model has no such bound. "
        "It is for Qwen2-VL, Qwen2.5-VL, Qwen3-VL; remove it."
    )


# options and adapters


@pytest.mark.tiny
def test_quantisation_reaches_transformers_and_the_model_stays_where_it_puts_it(tiny, monkeypatch):
    from transformers import AutoModelForImageTextToText

    from auditdm.backends.specs import load_model

    seen, read, moved = [], AutoModelForImageTextToText.from_pretrained, []

    def reads(where, **options):
        seen.append(options)
        model, found = read(where, **{key: each for key, each in options.items() if key != "quantization_config"})
        monkeypatch.setattr(model, "to", lambda *place: moved.append(place))
        return model, found

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", reads)
    four_bits = {"load_in_4bit": True, "bnb_4bit_compute_dtype": "bfloat16"}
    load_model(str(tiny("qwen2_5_vl")), device="cpu", options={"quantization_config": four_bits})
    load_model(str(tiny("qwen2_5_vl")), device="cpu")
    assert [options.get("quantization_config") for options in seen] == [four_bits, None]
    assert len(moved) == 1, "only the model that is not quantised is moved"
    assert seen[0]["use_safetensors"] and not seen[0]["trust_remote_code"]


@pytest.mark.tiny
def test_a_quantiser_that_is_not_installed_is_named(tiny):
    pytest.importorskip("transformers")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        with pytest.raises(ModelError, match=r"an option of it needs a package that is not installed: .*bitsandbytes"):
            load(tiny("gemma3"), options={"quantization_config": {"load_in_8bit": True}})
    else:
        pytest.skip("bitsandbytes is installed")


@pytest.mark.tiny
@every_family
def test_peft_adapts_all_language_layers_and_none_of_the_tower(tiny, family):
    from torch.nn import Linear

    model = load(tiny(family)).model
    lora = (PLAIN if TINY[family] == "*" else FAMILIES[TINY[family]]).lora
    linear = [name for name, layer in model.named_modules() if isinstance(layer, Linear)]
    adapted = {name for name in linear if re.fullmatch(lora, name)}  # as peft matches a text
    decoder = re.compile(r"model\.(language_model|text_model)\.layers\.\d+\.")
    assert adapted == {name for name in linear if decoder.match(name)}
    assert len(adapted) == 14, "seven in each of two layers"
    assert set(linear) - adapted - {"lm_head"}, "peft: all-linear would take these, of the tower and the projector, too"


@pytest.mark.tiny
@pytest.mark.parametrize("family", ["qwen2_5_vl", "paligemma2"])
def test_a_target_may_be_a_base_with_an_adapter(tiny, family, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model

    from auditdm.backends.loading import load_vlm
    from auditdm.backends.specs import load_model

    base, _ = load_vlm(tiny(family), "float32", "cpu")
    assert family_of(base.config).lora == LANGUAGE_LAYERS
    tuned = get_peft_model(base, LoraConfig(r=4, target_modules=family_of(base.config).lora))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, weight in tuned.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weight, std=0.3)
    tuned.save_pretrained(tmp_path)
    batch = probes(12)
    plain = load(tiny(family), dtype="float32")
    given = inputs_of(plain, "how many dogs")
    target = load_model(str(tiny(family)), device="cpu", max_new_tokens=3, options={"adapter": str(tmp_path)})
    assert target.revision.startswith(f"{plain.revision}+")
    assert texts(target, batch) != texts(plain, batch)
    with torch.inference_mode():
        off = (target.model(**given).logits - tuned.eval()(**given).logits).abs().max()
    assert off < 1e-3, "merged, it answers as the adapted model does"
    assert type(target.model) is type(plain.model)
