import doctest
import json
import shutil

import pytest
from PIL import Image

from auditdm.errors import ConfigError, ModelError
from auditdm.types import ImageEditor, ImageGenerator, picture_id, seed_for

pytestmark = pytest.mark.tiny
pytest.importorskip("diffusers")

DRAWING = (
    "FluxPipeline",
    "Flux2Pipeline",
    "Flux2KleinPipeline",
    "StableDiffusion3Pipeline",
    "QwenImagePipeline",
    "StableDiffusionPipeline",
)
EDITING = (
    "FluxKontextPipeline",
    "Flux2Pipeline",
    "Flux2KleinPipeline",
    "QwenImageEditPipeline",
    "QwenImageEditPlusPipeline",
    "StableDiffusionInstructPix2PixPipeline",
)
ROLES = [*(("generator", name) for name in DRAWING), *(("editor", name) for name in EDITING)]
SIDE_PX, SEED, GUIDANCE = 64, 7, 3.0
WORDS = ["a red dog", "two green cats under a very large blue table", "one star"]
SHORT = {"max_sequence_length": 64}  # quick
CALLS = {
    "FluxPipeline": SHORT,
    "FluxKontextPipeline": SHORT,
    "StableDiffusion3Pipeline": SHORT,
    "Flux2Pipeline": {**SHORT, "text_encoder_out_layers": [1]},  # its tiny language model has two layers
    "Flux2KleinPipeline": {**SHORT, "text_encoder_out_layers": [1]},
}


def picture(seed, width=SIDE_PX, height=SIDE_PX):
    return Image.effect_noise((width, height), 40 + 10 * seed).convert("RGB")


PICTURES = [picture(0), picture(1), picture(2)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folder of a tiny random pipeline, by class; written once."""
    root, written = tmp_path_factory.mktemp("tiny"), {}

    def folder(class_name):
        from tiny_pipelines import write_tiny_pipeline

        if class_name not in written:
            written[class_name] = write_tiny_pipeline(class_name, root / class_name)
        return written[class_name]

    return folder


@pytest.fixture
def copied(tiny, tmp_path):
    """A copy of a tiny pipeline, to be spoiled."""
    return lambda class_name: shutil.copytree(tiny(class_name), tmp_path / class_name)


def load(role, folder, **options):
    from auditdm.backends.diffusion import DiffusionEditor, DiffusionGenerator

    make = DiffusionGenerator if role == "generator" else DiffusionEditor
    settings = {"steps": 2, "side_px": SIDE_PX, "guidance": GUIDANCE, "seed": SEED, "batch": 3, "device": "cpu"}
    return make(folder, **{**settings, "call": CALLS.get(folder.name, {}), **options})


@pytest.fixture(params=ROLES, ids="-".join, scope="module")
def painter(request, tiny):
    role, class_name = request.param
    return load(role, tiny(class_name))


def paint(painter, words, pictures=PICTURES):
    if hasattr(painter, "generate"):
        return painter.generate(words)
    return painter.edit(list(zip(pictures[: len(words)], words, strict=True)))


def far_apart(one, other):
    """Largest difference of two pictures, in levels of 255."""
    from PIL import ImageChops

    assert one.size == other.size
    return max(highest for _, highest in ImageChops.difference(one, other).getextrema())


def by_hand(painter, words, source, seed, **changed):
    """What the class makes of explicit arguments, as its own documentation calls it."""
    import torch

    name = type(painter.pipeline).__name__
    call = {"prompt": words, "num_inference_steps": 2, "generator": torch.Generator().manual_seed(seed)}
    call |= {"true_cfg_scale": GUIDANCE, "negative_prompt": " "} if "Qwen" in name else {"guidance_scale": GUIDANCE}
    call |= {} if "Pix2Pix" in name else {"width": SIDE_PX, "height": SIDE_PX}
    call |= {"max_area": SIDE_PX**2, "_auto_resize": False} if "Kontext" in name else {}
    call |= {"image": source} if source is not None else {}
    call |= CALLS.get(name, {})
    return painter.pipeline(**{**call, **changed}).images[0]


# the contract


def test_every_class_of_the_tables_is_tried():
    from auditdm.backends.diffusion import EDITORS, GENERATORS

    assert set(DRAWING) == set(GENERATORS)
    assert set(EDITING) == set(EDITORS)


def test_it_obeys_the_protocol(painter):
    assert isinstance(painter, ImageGenerator if hasattr(painter, "generate") else ImageEditor)
    assert painter.name
    assert len(painter.revision) == 16
    assert paint(painter, []) == []


def test_as_many_pictures_come_in_the_same_order_alone_or_together(painter):
    together = paint(painter, WORDS)
    assert [image.mode for image in together] == ["RGB"] * 3
    assert [image.size for image in together] == [(SIDE_PX, SIDE_PX)] * 3
    assert far_apart(together[0], together[1]) > 10, "the order is only proved where pictures differ"
    assert far_apart(together[1], together[2]) > 10
    for at in (2, 1, 0):  # in another order, each by itself
        [alone] = paint(painter, [WORDS[at]], [PICTURES[at]])
        assert far_apart(alone, together[at]) <= 1, "sums of floats differ by the shape of a batch, pictures do not"


def test_it_makes_what_the_class_makes_by_hand(painter):
    source = None if hasattr(painter, "generate") else PICTURES[0]
    seed = seed_for(SEED, WORDS[0]) if source is None else seed_for(SEED, picture_id(source), WORDS[0])
    [made] = paint(painter, WORDS[:1])
    assert far_apart(made, by_hand(painter, WORDS[0], source, seed)) <= 1
    guidance = "true_cfg_scale" if "Qwen" in type(painter.pipeline).__name__ else "guidance_scale"
    assert made.tobytes() != by_hand(painter, WORDS[0], source, seed, **{guidance: 30.0}).tobytes(), "it hears guidance"
    assert made.tobytes() != by_hand(painter, WORDS[1], source, seed).tobytes(), "it hears words"


# seeds


@pytest.mark.parametrize(("role", "class_name"), [("generator", "FluxPipeline"), ("editor", "FluxKontextPipeline")])
def test_the_seed_comes_from_the_run_and_what_is_asked_alone(role, class_name, tiny):
    first, other = load(role, tiny(class_name)), load(role, tiny(class_name), seed=SEED + 1, batch=1)
    shuffled = [WORDS[2], WORDS[0], WORDS[2], WORDS[1]]
    sources = [PICTURES[2], PICTURES[0], PICTURES[2], PICTURES[1]]
    straight, mixed = paint(first, WORDS), paint(first, shuffled, sources)
    assert [far_apart(a, b) <= 1 for a, b in zip(mixed, [straight[at] for at in (2, 0, 2, 1)], strict=True)] == [
        True
    ] * 4
    assert mixed[0].tobytes() == mixed[2].tobytes()
    assert far_apart(paint(other, WORDS[:1])[0], straight[0]) > 10
    torch_state_matters_not(first, straight[0])


def torch_state_matters_not(painter, known):
    import torch

    before = torch.random.get_rng_state()
    assert far_apart(paint(painter, WORDS[:1])[0], known) <= 1
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator is left alone"


def test_equal_requests_are_drawn_once(tiny):
    generator = load("generator", tiny("FluxPipeline"))
    rows = rows_seen(generator)
    assert len(generator.generate([WORDS[0]] * 3 + [WORDS[1]])) == 4
    assert rows == [2, 2], "two captions in one call of two steps"


def rows_seen(painter, most=None, error=None):
    """Rows of each pass through the denoiser, which raises the error where there are more than `most`."""
    seen = []

    def look(module, args, given):
        seen.append(len(given["hidden_states"]))
        if error is not None and seen[-1] > most:
            raise error

    painter.pipeline.transformer.register_forward_pre_hook(look, with_kwargs=True)
    return seen


# what is not drawn


def checker(flags, colour=None):
    """A safety checker that flags the given places, and paints every picture over if a colour is given."""
    import torch

    class Checker(torch.nn.Module):
        dtype, device = torch.float32, torch.device("cpu")

        def forward(self, clip_input, images):
            return (images if colour is None else images * 0 + colour), [flags[at] for at in range(len(images))]

    return Checker()


CHECKED = [("generator", "StableDiffusionPipeline"), ("editor", "StableDiffusionInstructPix2PixPipeline")]


@pytest.mark.parametrize(("role", "class_name"), CHECKED)
def test_a_flagged_picture_is_none_in_its_place(role, class_name, tiny):
    painter = load(role, tiny(class_name))
    whole = paint(painter, WORDS)
    painter.pipeline.safety_checker = checker([False, True, False])
    made = paint(painter, WORDS)
    assert made[1] is None
    assert [made[0].tobytes(), made[2].tobytes()] == [whole[0].tobytes(), whole[2].tobytes()]


@pytest.mark.parametrize(("role", "class_name"), CHECKED)
def test_the_real_checker_is_heard(role, class_name, tiny):
    painter = load(role, tiny(class_name))
    painter.pipeline.safety_checker.concept_embeds_weights.data.fill_(-1)  # every picture is nearer than that
    assert paint(painter, WORDS) == [None] * 3


@pytest.mark.parametrize(("role", "class_name"), CHECKED)
def test_a_picture_blanked_without_a_word_is_none(role, class_name, tiny):
    painter = load(role, tiny(class_name))
    painter.pipeline.safety_checker = checker([False] * 3, colour=-1.0)
    assert paint(painter, WORDS) == [None] * 3
    painter.pipeline.safety_checker = checker([False] * 3, colour=-0.9)
    assert None not in paint(painter, WORDS), "dark is not black"


def test_numbers_that_overflow_give_no_picture(tiny):
    generator = load("generator", tiny("FluxPipeline"))
    generator.pipeline.vae.decoder.conv_out.bias.data.fill_(float("nan"))
    assert generator.generate(WORDS) == [None] * 3


# shapes


def test_an_edit_keeps_the_shape_of_its_picture(tiny):
    editor = load("editor", tiny("FluxKontextPipeline"))
    batch = [
        (picture(0, 300, 150), "x"),
        (picture(1, 64, 64), "x"),
        (picture(2, 10, 40), "x"),
        (picture(3, 200, 100), "x"),
    ]
    sizes = [image.size for image in editor.edit(batch)]
    assert sizes == [(88, 48), (64, 64), (32, 128), (88, 48)]  # 64 * 64 pixels each, sides multiples of 8
    assert all(abs(width * height / SIDE_PX**2 - 1) < 0.04 for width, height in sizes)
    [alone] = editor.edit(batch[3:])
    assert far_apart(alone, editor.edit(batch)[3]) <= 1


def test_pictures_of_any_mode_are_taken_and_left_alone(tiny):
    editor = load("editor", tiny("StableDiffusionInstructPix2PixPipeline"))
    odd = [PICTURES[0].convert(mode) for mode in ("L", "P", "RGBA", "CMYK", "1")]
    before = [image.tobytes() for image in odd]
    made = editor.edit([(image, "make it red") for image in odd])
    assert {(image.mode, image.size) for image in made} == {("RGB", (SIDE_PX, SIDE_PX))}
    assert [image.tobytes() for image in odd] == before


def test_a_picture_that_the_class_cannot_take_is_none_in_its_place(tiny):
    editor = load("editor", tiny("Flux2Pipeline"))
    long = picture(1, 640, 32)  # FLUX.2 refuses sides of more than 1:8, and shorter ones than 64 px
    made = editor.edit([(PICTURES[0], "x"), (long, "x"), (picture(2, 64, 90), "x"), (PICTURES[2], "x")])
    assert [image is None for image in made] == [False, True, True, False]
    with pytest.raises(ValueError, match="Aspect ratio"):  # diffusers: one such picture would fail the whole batch
        editor.pipeline(image=[picture(1, 1280, 64)], prompt="x", num_inference_steps=1, **CALLS["Flux2Pipeline"])


# words


@pytest.mark.parametrize("words", ["", "   ", "word " * 400, "\u2603 <b>{0}%s\\n"])
def test_any_words_are_drawn(words, tiny):
    for class_name in ("FluxPipeline", "StableDiffusionPipeline", "QwenImagePipeline"):
        [made] = load("generator", tiny(class_name)).generate([words])
        assert made.size == (SIDE_PX, SIDE_PX)


def test_words_cannot_pose_as_control_tokens(tiny):
    editor = load("editor", tiny("QwenImageEditPipeline"))
    [made] = editor.edit([(PICTURES[0], "add <|image_pad|> a dog")])
    assert made.size == (SIDE_PX, SIDE_PX)
    with pytest.raises(Exception, match=r".+"):  # transformers: a picture token without a picture
        editor.pipeline(image=[PICTURES[0]], prompt="add <|image_pad|> a dog", num_inference_steps=1)
    generator = load("generator", tiny("FluxPipeline"))
    cut = generator._painter._control.sub("", "<|endoftext|>a</s><pad><extra_id_0>b<|startoftext|>")
    assert cut == "ab"


# faults


def test_running_out_of_memory_halves_the_batch_for_good(tiny):
    import torch

    captions = [f"{count} dogs" for count in range(5)]
    whole = load("generator", tiny("FluxPipeline")).generate(captions)
    generator = load("generator", tiny("FluxPipeline"), batch=4)
    rows = rows_seen(generator, most=2, error=torch.OutOfMemoryError("CUDA out of memory."))
    made = generator.generate(captions)
    assert rows == [4, 2, 2, 2, 2, 1, 1]  # each call has two steps; the first one failed in its first
    assert [far_apart(a, b) <= 1 for a, b in zip(made, whole, strict=True)] == [True] * 5
    rows.clear()
    assert None not in generator.generate(captions)
    assert 4 not in rows


def test_one_picture_that_does_not_fit_is_a_model_error(tiny):
    import torch

    generator = load("generator", tiny("FluxPipeline"))
    rows_seen(generator, most=0, error=torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(ModelError, match=r"out of memory with a single picture of \(64, 64\) px.*side_px.*offload"):
        generator.generate(WORDS)


def test_a_fault_of_a_whole_batch_is_a_model_error_and_the_next_batch_is_drawn(tiny):
    generator = load("generator", tiny("FluxPipeline"))
    whole = generator.generate(WORDS)
    faulty = load("generator", tiny("FluxPipeline"))
    rows_seen(faulty, most=2, error=RuntimeError("device-side assert"))
    with pytest.raises(ModelError, match="3 pictures could not be made by FluxPipeline: device-side assert"):
        faulty.generate(WORDS)
    assert far_apart(faulty.generate(WORDS[:1])[0], whole[0]) <= 1


def test_what_a_call_gets_from_the_user_can_fail_it(tiny):
    generator = load("generator", tiny("FluxPipeline"), call={"max_sequence_length": 9999})
    with pytest.raises(ModelError, match=r"cannot be greater than 512 but is 9999.*\n.*call: {'max_sequence_length'"):
        generator.generate(WORDS)


# loading


def test_an_unknown_class_lists_the_known_ones(copied):
    folder = copied("FluxPipeline")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "FluxFillPipeline"}))
    for role, known in (("generator", DRAWING), ("editor", EDITING)):
        with pytest.raises(ConfigError, match="'FluxFillPipeline'") as caught:
            load(role, folder)
        assert all(name in str(caught.value) for name in known)


@pytest.mark.parametrize(
    ("role", "class_name", "options", "message"),
    [
        ("generator", "FluxKontextPipeline", {}, "no known generator. Name it as editor"),
        ("editor", "FluxPipeline", {}, "no known editor. Name it as generator"),
        (
            "generator",
            "StableDiffusionPipeline",
            {"side_px": 63},
            "side_px is 63; .* multiples of 4 px, such as 60 or 64",
        ),
        ("generator", "QwenImagePipeline", {"side_px": 16}, "side_px is 16; .* multiples of 32 px, such as 32"),
        ("generator", "FluxPipeline", {"batch": 0}, "batch is 0; it must be at least 1"),
        ("generator", "FluxPipeline", {"steps": 0}, "steps is 0; it must be at least 1"),
        ("generator", "FluxPipeline", {"offload": "disk"}, "offload is 'disk'. Known: none, model, sequential"),
        ("generator", "FluxPipeline", {"offload": "sequential"}, "offload is 'sequential', but the device is a CPU"),
        ("generator", "FluxPipeline", {"dtype": "int8"}, "dtype is 'int8'. Known: auto, float32"),
        ("generator", "FluxPipeline", {"device": "warp"}, "device is 'warp'. Known: auto, cpu"),
        (
            "generator",
            "FluxPipeline",
            {"call": {"stepz": 1}},
            "call.stepz is no argument of FluxPipeline. Known: .*max_seq",
        ),
        (
            "generator",
            "FluxPipeline",
            {"call": {"width": 1}},
            "call.width is set by steps, side_px, guidance or the run",
        ),
        ("generator", "FluxPipeline", {"options": {"trust_remote_code": True}}, "options.trust_remote_code is set by"),
    ],
)
def test_a_wrong_configuration_says_what_is_allowed(role, class_name, options, message, tiny):
    with pytest.raises(ConfigError, match=message):
        load(role, tiny(class_name), **options)


def test_a_folder_that_is_no_pipeline_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match=r"no model_index\.json that can be read, so it is no pipeline"):
        load("generator", tmp_path)
    with pytest.raises(ModelError, match="no such folder"):
        load("generator", tmp_path / "missing")


@pytest.mark.parametrize("part", ["text_encoder", "transformer", "vae"])
def test_weights_that_are_not_in_the_files_are_no_random_numbers(part, copied):
    from safetensors.torch import load_file, save_file

    folder = copied("FluxPipeline")
    [file] = (folder / part).glob("*.safetensors")
    weights = load_file(file)
    weights.pop(lost := max(weights))
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"1 weights of its {part} are not in the files, e.g. '{lost}'"):
        load("generator", folder)


@pytest.mark.parametrize("part", ["text_encoder", "vae"])
def test_only_safetensors_are_read(part, copied):
    import torch
    from safetensors.torch import load_file

    folder = copied("FluxPipeline")
    [file] = (folder / part).glob("*.safetensors")
    pickled = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
    torch.save(load_file(file), folder / part / pickled)
    file.unlink()
    with pytest.raises(ModelError, match="Only safetensors are read"):
        load("generator", folder)


def test_text_encoders_under_the_names_of_the_hub_are_whole(copied):
    """FLUX.1's repository has CLIP's weights under `text_model.`; transformers 5 saves them without."""
    from safetensors.torch import load_file, save_file

    folder = copied("FluxPipeline")
    [whole] = load("generator", folder).generate(WORDS[:1])
    [file] = (folder / "text_encoder").glob("*.safetensors")
    save_file({f"text_model.{name}": w for name, w in load_file(file).items()}, file, metadata={"format": "pt"})
    assert load("generator", folder).generate(WORDS[:1])[0].tobytes() == whole.tobytes()


def test_the_revision_follows_the_files(copied):
    folder = copied("FluxPipeline")
    before = load("generator", folder).revision
    assert load("generator", folder).revision == before
    settings = folder / "scheduler" / "scheduler_config.json"
    settings.write_text(settings.read_text().replace('"shift": 1.0', '"shift": 3.0'))
    assert load("generator", folder).revision != before


def test_offloading_by_models_changes_no_picture(tiny):
    whole = load("generator", tiny("FluxPipeline")).generate(WORDS)
    offloaded = load("generator", tiny("FluxPipeline"), offload="model").generate(WORDS)
    assert [image.tobytes() for image in offloaded] == [image.tobytes() for image in whole]


# sharing


def test_equal_parts_are_shared_and_change_no_picture(tiny):
    from auditdm.backends.pipelines import shared_parts

    for offload in ("none", "model"):
        generator = load("generator", tiny("FluxPipeline"), offload=offload)
        [drawn] = generator.generate(WORDS[:1])
        alone = paint(load("editor", tiny("FluxKontextPipeline")), WORDS)
        parts = shared_parts(generator.pipeline, tiny("FluxKontextPipeline"))
        assert set(parts) == {"text_encoder", "text_encoder_2", "transformer", "vae"}
        editor = load("editor", tiny("FluxKontextPipeline"), offload=offload, options=parts)
        for _ in range(2):  # they take turns
            assert [image.tobytes() for image in paint(editor, WORDS)] == [image.tobytes() for image in alone]
            assert generator.generate(WORDS[:1])[0].tobytes() == drawn.tobytes()
        assert editor.pipeline.vae is generator.pipeline.vae
        assert editor.pipeline.scheduler is not generator.pipeline.scheduler


def test_parts_with_other_weights_or_settings_are_not_shared(tiny, copied):
    from safetensors.torch import load_file, save_file

    from auditdm.backends.pipelines import shared_parts

    generator = load("generator", tiny("FluxPipeline"))
    folder = copied("FluxKontextPipeline")
    [file] = (folder / "transformer").glob("*.safetensors")
    weights = load_file(file)
    weights[max(weights)].flatten()[0] += 1e-3
    save_file(weights, file, metadata={"format": "pt"})
    settings = folder / "vae" / "config.json"
    settings.write_text(settings.read_text().replace("0.0609", "0.0610"))
    notes = folder / "text_encoder" / "config.json"
    notes.write_text(json.dumps({**json.loads(notes.read_text()), "_name_or_path": "elsewhere"}))
    assert set(shared_parts(generator.pipeline, folder)) == {"text_encoder", "text_encoder_2"}
    assert shared_parts(generator.pipeline, tiny("QwenImageEditPipeline")) == {}


def roles_of(tiny, *, seed=0, editor_seed=None, **editing):
    from auditdm.config import parse_config
    from auditdm.runs.roles import fill_roles

    drawing = {"side_px": 32, "steps": 2, "device": "cpu", "call": SHORT}
    own = {} if editor_seed is None else {"seed": editor_seed}
    return fill_roles(
        parse_config(
            {
                "seed": seed,
                "images": "photos",
                "auditor": "acting_models:auditor",
                "target": "acting_models:target",
                "references": ["acting_models:reference"],
                "generator": {"name": f"diffusers/{tiny('FluxPipeline')}", "options": drawing},
                "editor": {
                    "name": f"diffusers/{tiny('FluxKontextPipeline')}",
                    "options": {**drawing, **editing, **own},
                },
            }
        )
    )


def test_an_audit_shares_equal_parts_between_its_generator_and_editor(tiny):
    roles = roles_of(tiny)
    drawn, edited = roles.generator.pipeline, roles.editor.pipeline
    for part in ("text_encoder", "text_encoder_2", "vae"):
        assert getattr(edited, part) is getattr(drawn, part)
    apart = roles_of(tiny, dtype="bfloat16")  # loaded in another way, so nothing is shared
    assert apart.editor.pipeline.vae is not apart.generator.pipeline.vae


def test_the_seed_of_a_run_decides_its_pictures_unless_another_is_given(tiny):
    words, pairs = [WORDS[0]], [(Image.new("RGB", (32, 32), "red"), WORDS[0])]
    one, other, fixed = roles_of(tiny, seed=1), roles_of(tiny, seed=2), roles_of(tiny, seed=2, editor_seed=1)
    assert (one.generator.seed, one.editor.seed) == (1, 1)
    assert (fixed.generator.seed, fixed.editor.seed) == (2, 1)
    first, second = one.generator.generate(words)[0], other.generator.generate(words)[0]
    assert first.tobytes() != second.tobytes()
    assert roles_of(tiny, seed=1).generator.generate(words)[0].tobytes() == first.tobytes()
    edits = [roles.editor.edit(pairs)[0].tobytes() for roles in (one, other, fixed)]
    assert edits[0] == edits[2] != edits[1]


def test_parts_are_not_shared_where_quantized_or_placed_or_of_another_kind(tiny):
    from auditdm.backends.diffusion import beside

    generator = load("generator", tiny("FluxPipeline"))
    kontext, same = tiny("FluxKontextPipeline"), {"device": "cpu"}
    assert set(beside(generator, kontext, same)) >= {"text_encoder", "vae"}
    assert beside(generator, kontext, {**same, "options": {"quantization_config": {"quant_backend": "torchao"}}}) == {}
    assert beside(generator, kontext, {**same, "options": {"device_map": "balanced"}}) == {}
    assert beside(generator, kontext, {**same, "offload": "model"}) == {}
    assert beside(object(), kontext, same) == {}
    assert beside(None, kontext, same) == {}


def test_a_shared_part_of_another_dtype_is_refused(tiny):
    from auditdm.backends.pipelines import shared_parts

    generator = load("generator", tiny("FluxPipeline"))
    parts = shared_parts(generator.pipeline, tiny("FluxKontextPipeline"))
    with pytest.raises(ConfigError, match=r"is a part in torch.float32, but the pipeline is loaded in torch.bfloat16"):
        load("editor", tiny("FluxKontextPipeline"), dtype="bfloat16", options=parts)


def test_the_examples_in_the_docstrings_are_true():
    from auditdm.backends import diffusion, pipelines

    assert doctest.testmod(diffusion).failed == 0
    assert doctest.testmod(pipelines).failed == 0
