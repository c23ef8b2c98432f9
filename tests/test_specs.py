import doctest
import re
import subprocess
import sys

import pytest
from PIL import Image

from auditdm.backends import specs
from auditdm.backends.fakes import FakeModel, fake_picture
from auditdm.backends.specs import (
    import_object,
    is_endpoint,
    load_editor,
    load_generator,
    load_judge,
    load_model,
    load_pool,
    model_location,
    weights_of,
)
from auditdm.errors import ConfigError

KNOWN_MODELS = (
    "Known: hf/google/gemma-3-4b-it, sandbox/target-small, openai-api/my-model, openai/gpt-4o, "
    "vllm/Qwen/Qwen3-VL-8B-Instruct, google/gemini-2.5-flash, anthropic/claude-sonnet-4-5, a local model folder, "
    "or an import path my_module:MyClass."
)


class Echo:
    """A model of the user's own."""

    revision = None

    def __init__(self, batch=1, prefix=""):
        self.name, self.batch, self.prefix = "echo", batch, prefix

    def generate(self, batch):
        return FakeModel(lambda question: self.prefix + question, self.name).generate(batch)


class Painter:
    """A generator and editor of the user's own, that draws from a seed and wants to know the generator."""

    def __init__(self, seed=0, beside=None):
        self.seed, self.beside = seed, beside

    def generate(self, captions):
        return [fake_picture(caption) for caption in captions]

    def edit(self, batch):
        return [picture for picture, _ in batch]


class NoModel:
    name = "nothing"


ready = Echo(prefix="ready ")


@pytest.fixture
def my_mod(monkeypatch):
    """This very module under a name that a user would write."""
    monkeypatch.setitem(sys.modules, "my_mod", sys.modules[__name__])


def refusal(load, spec, **options):
    with pytest.raises(ConfigError) as refused:
        load(spec, **options)
    return str(refused.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "sandbx/target-small",
            f"no kind and no folder has this name. Did you mean 'sandbox/target-small'? {KNOWN_MODELS}",
        ),
        ("google/gemma-3-4b-it", "A model of the hub is written 'hf/google/gemma-3-4b-it'."),
        ("llava-hf/llava-1.5-7b-hf", f"A model of the hub is written 'hf/llava-hf/llava-1.5-7b-hf'. {KNOWN_MODELS}"),
        ("gemma", f"model 'gemma': no kind and no folder has this name. {KNOWN_MODELS}"),
        ("./gone", f"model './gone': there is no such folder. {KNOWN_MODELS}"),
        ("/gone/away", f"model '/gone/away': there is no such folder. {KNOWN_MODELS}"),
        ("openai-api", "model 'openai-api': write it like 'openai-api/my-model'."),
        ("hf", "model 'hf': write it like 'hf/google/gemma-3-4b-it'."),
        ("sandbox/", "model 'sandbox/': write it like 'sandbox/target-small'."),
        ("no_such_module:Model", "Python finds no module 'no_such_module'. Install it, or start with PYTHONPATH"),
        (
            "auditdm.backends.fakes:FakeModl",
            "there is no 'FakeModl' in auditdm.backends.fakes. Did you mean 'FakeModel'?",
        ),
        ("auditdm.no_such_part:Model", "Python finds no module 'auditdm.no_such_part'."),
    ],
)
def test_an_unknown_model_spec_says_what_is_known(spec, message):
    assert message in refusal(load_model, spec)


@pytest.mark.parametrize(
    ("load", "spec", "message"),
    [
        (load_generator, "diffusers", "write it like 'diffusers/black-forest-labs/FLUX.1-dev'"),
        (
            load_generator,
            "sandbax",
            "Did you mean 'sandbox'? Known: sandbox, diffusers/black-forest-labs/FLUX.1-dev, an",
        ),
        (load_editor, "sandbox/large", "editor 'sandbox/large': write it like 'sandbox'."),
        (load_judge, "exakt", "Did you mean 'exact'? Known: exact, cascade, an import path my_module:MyClass."),
        (load_pool, "sandbox", "pool 'sandbox': write it like 'sandbox/0'."),
        (load_pool, "./gone", "gone does not exist. Give a folder of pictures"),
    ],
)
def test_other_roles_say_what_is_known_too(load, spec, message):
    assert message in refusal(load, spec)


def test_a_class_of_the_users_gets_what_it_has_a_parameter_for(my_mod):
    model = load_model("my_mod:Echo", batch=7, temperature=0.5, options={"prefix": "you said "})
    assert (model.name, model.batch) == ("echo", 7)
    assert [answer.text for answer in model.generate([(fake_picture(), "hello")])] == ["you said hello"]


def test_an_object_of_the_users_is_taken_as_it_is(my_mod):
    assert load_model("my_mod:ready", batch=3) is ready


def test_a_class_that_is_no_model_says_what_it_lacks(my_mod):
    assert (
        refusal(load_model, "my_mod:NoModel")
        == "model 'my_mod:NoModel': a NoModel is no model; it lacks: generate, revision."
    )
    assert "a FakeJudge is no generator; it lacks: generate" in refusal(
        load_generator, "auditdm.backends.fakes:FakeJudge"
    )


def test_an_unknown_option_says_which_there_are(my_mod):
    message = refusal(load_model, "my_mod:Echo", options={"prefx": "hm"})
    assert message == "'my_mod:Echo': got an unexpected keyword argument 'prefx'. Its options: batch, prefix."
    message = refusal(load_judge, "exact", alias={})
    assert message == "'exact': got an unexpected keyword argument 'alias'. Its options: aliases."


def test_a_module_that_fails_on_import_says_why(tmp_path, monkeypatch):
    (tmp_path / "broken_mod.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    message = refusal(import_object, "broken_mod:Model")
    assert message == "object 'broken_mod:Model': importing broken_mod failed: No module named 'no_such_library'."


def test_tools_load_by_import_path():
    assert load_generator("auditdm.backends.fakes:FakeImageGenerator").generate(["a dog"])[0].size == (64, 64)
    assert load_editor("auditdm.backends.fakes:FakeImageEditor", declined=["no"]).edit([(fake_picture(), "no")]) == [
        None
    ]
    assert load_judge("auditdm.backends.fakes:FakeJudge").same([("q", "A", "a ")]) == [True]


def test_the_seed_and_the_generator_go_to_what_has_a_place_for_them(my_mod):
    drawn = load_generator("my_mod:Painter", seed=7)
    changed = load_editor("my_mod:Painter", seed=7, beside=drawn)
    assert (drawn.seed, changed.seed, changed.beside) == (7, 7, drawn)
    assert load_generator("auditdm.backends.fakes:FakeImageGenerator", seed=7).generate(["a dog"])[0] is not None
    assert load_editor("auditdm.backends.fakes:FakeImageEditor", seed=7, beside=drawn) is not None
    assert load_generator("sandbox", seed=7).generate(["no caption of the sandbox"]) == [None]
    assert load_editor("sandbox", seed=7, beside=drawn) is not None


def test_a_price_goes_to_an_endpoint_and_is_refused_for_weights_that_are_here(tmp_path):
    server = {"base_url": "http://localhost:9/v1"}
    assert load_model("vllm/x", price=(1, 2), options=server).usage.price_usd == 0.0
    assert load_model("vllm/x", options=server).usage.price_usd is None
    assert "price is of a model behind an endpoint" in refusal(load_model, str(tmp_path), price=(1, 2))


def test_what_weights_a_spec_means_is_told_without_loading_them(tmp_path, my_mod):
    assert weights_of("model", "hf/lab/model") == "lab/model"
    assert weights_of("model", str(tmp_path)) == tmp_path
    assert weights_of("editor", "diffusers/lab/painter") == "lab/painter"
    assert weights_of("generator", f"diffusers/{tmp_path}") == tmp_path
    for role, spec in (("model", "openai/x"), ("model", "my_mod:Echo"), ("generator", "sandbox")):
        assert weights_of(role, spec) is None
    assert [is_endpoint(spec) for spec in ("openai/x", "hf/openai/x", "my_mod:Echo")] == [True, False, False]


def test_the_model_of_a_cascade_may_be_a_mapping(monkeypatch):
    asked = []
    monkeypatch.setattr(specs, "load_model", lambda spec, **options: asked.append((spec, options)) or Echo())
    told = {"model": "openai/x", "price": {"input": 1, "output": 2}, "max_new_tokens": 8}
    load_judge("cascade", model=told)
    assert asked == [("openai/x", {"price": (1, 2), "max_new_tokens": 8})]
    assert told["model"] == "openai/x"  # a configuration is not changed


def test_a_pool_is_a_folder_of_pictures(tmp_path):
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    assert len(load_pool(str(tmp_path))) == 3
    assert len(load_pool(str(tmp_path), limit=2)) == 2


def test_loading_specs_needs_no_model_library():
    code = (
        "import sys; from auditdm.backends.specs import load_judge; load_judge('exact'); "
        "print(sorted({'torch', 'transformers', 'auditdm.sandbox'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_example_in_the_table_is_one_of_its_kind():
    for role, kinds in specs.BACKENDS.items():
        for name, kind in kinds.items():
            assert kind.example.partition("/")[0] == name, role
            assert not re.search(r"\s", kind.example)


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(specs).failed == 0


@pytest.mark.tiny
def test_a_local_folder_is_a_model_named_by_its_path(tmp_path, monkeypatch):
    from tiny_models import write_tiny_model

    write_tiny_model("llava", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    for spec in ("mine", "./mine", str(tmp_path / "mine")):
        model = load_model(spec, max_new_tokens=2)
        assert model.name == spec
    message = refusal(load_model, "mine", max_tokens=2)
    assert (
        "got an unexpected keyword argument 'max_tokens'. Its options: name, batch, max_new_tokens, temperature, seed"
        in message
    )


def test_the_location_of_weights(tmp_path, my_mod):
    assert model_location("hf/lab/model") == "lab/model"
    assert model_location(str(tmp_path)) == tmp_path
    assert refusal(model_location, "my_mod:Echo").endswith(
        "a class of your own cannot be trained. Give hf/ID or a local model folder."
    )
    assert "Did you mean 'sandbox/auditor'?" in refusal(model_location, "sandbx/auditor")
    assert "write it like" in refusal(model_location, "hf/")


@pytest.mark.tiny
def test_an_adapter_may_stand_among_the_options(tmp_path):
    from auditdm.errors import ModelError
    from tiny_models import write_tiny_model

    folder = write_tiny_model("llava", tmp_path / "mine")
    with pytest.raises(ModelError, match=r"gone: no such folder"):
        load_model(str(folder), options={"adapter": tmp_path / "gone"})


@pytest.mark.tiny
def test_a_hub_id_keeps_its_prefix_in_the_name(tmp_path):
    from auditdm.errors import ModelError

    with pytest.raises(ModelError, match=r"lab/nothing: there is no such folder here, and the hub gave no model"):
        load_model("hf/lab/nothing", options={"local_files_only": True, "cache_dir": str(tmp_path)})


def test_the_cascade_gets_its_options_and_says_which_it_does_not_know():
    judge = load_judge("cascade", aliases={"sofa": "couch"}, model="acting_models:reference")
    assert judge.same([("What is it?", "A sofa.", "couch"), ("How many dogs?", "two", "3")]) == [True, False]
    assert judge.revisions == {"judge.model": {"model": "reference", "revision": "fake"}}
    with pytest.raises(ConfigError, match=r"Its options: .*aliases"):
        load_judge("cascade", alias={})
