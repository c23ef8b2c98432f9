import pytest

from auditdm.backends.fakes import fake_picture
from auditdm.config import parse_config
from auditdm.errors import ConfigError
from auditdm.method.trainset import Lesson
from auditdm.runs.fine_tuning import _trainer, fine_tune, prefix_and_suffix
from auditdm.store import Run

pytestmark = pytest.mark.tiny

FAMILIES = (
    "zoo", "gemma3", "idefics3", "internvl", "llava", "llava_next", "llava_onevision", "paligemma", "paligemma2",
    "qwen2_5_vl", "qwen2_vl", "qwen3_vl", "smolvlm", "vipllava",
)  # fmt: skip
LORA = {"r": 16, "lora_alpha": 32}
QUESTIONS = ["how many shapes are there ?", "what colour is the star ?", "is the red circle large ?"]
WORDING = "answer : {question}"


def configured(target, lora=None, **options):
    return parse_config(
        {
            "images": "sandbox/5",
            "auditor": "acting_models:auditor",
            "target": target,
            "references": ["acting_models:reference"],
            "wordings": [WORDING, "again : {question}"],
            "rectify": {"lora": lora, "options": {"per_device_train_batch_size": 8, **options}},
        }
    )


def quiet(*_):
    pass


def lessons_on(run, rows):
    return [
        Lesson(probe_id=f"{n}", picture_id=run.save_picture(p), question=q, answer=a, origin="failure")
        for n, (p, q, a) in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """A tiny model of each family, written once."""
    from auditdm.sandbox.zoo import model_folder
    from tiny_models import write_tiny_model

    place, made = tmp_path_factory.mktemp("tiny"), {}

    def folder(family):
        if family not in made:
            made[family] = model_folder("target-small") if family == "zoo" else write_tiny_model(family, place / family)
        return made[family]

    return folder


def asked_with(model, picture, question):
    """The tokens and the pixels that the model is shown when it is asked."""
    seen, read = [], []
    eyes = next(
        m for name, m in model.model.named_modules() if name.endswith(("vision_tower", "vision_model", "visual"))
    )
    hooks = [
        eyes.register_forward_pre_hook(
            lambda _, a, k: seen.append(a[0] if a else k.get("pixel_values", k.get("hidden_states"))), with_kwargs=True
        ),
        model.model.register_forward_pre_hook(lambda _, a, k: read.append(k["input_ids"]), with_kwargs=True),
    ]
    model.generate([(picture, question)])
    for hook in hooks:
        hook.remove()
    return read[0][0].tolist(), seen[0].flatten()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lesson_is_read_token_for_token_as_the_question_is_asked(tmp_path, folder_of, family):
    """What is trained is what is asked: the same prompt, and the answer with the end of the reply behind it."""
    from auditdm.backends.local import TransformersModel

    model = TransformersModel(folder_of(family), max_new_tokens=2)
    hostile = f"what is {model.processor.image_token} this ?"  # a pool's own question may look like that
    asked = [QUESTIONS[0], QUESTIONS[1] + " " + QUESTIONS[2], hostile]
    pictures = [fake_picture(question) for question in asked]
    with Run.open(tmp_path / "run", {}, {}) as run:
        lessons = lessons_on(run, [(p, q, "yes") for p, q in zip(pictures, asked, strict=True)])
        trainer = _trainer(run, configured(str(folder_of(family))), lessons, "audited", quiet)
        collate = [trainer.data_collator([trainer.train_dataset[n]]) for n in range(len(asked))]
        batch = trainer.data_collator([trainer.train_dataset[n] for n in range(len(asked))])

    stops = model.model.generation_config.eos_token_id
    for n, (picture, question) in enumerate(zip(pictures, asked, strict=True)):
        prompt, pixels = asked_with(model, picture, WORDING.replace("{question}", question))
        trained = batch["input_ids"][n][batch["attention_mask"][n].bool()].tolist()
        learnt = batch["labels"][n][batch["labels"][n] != -100].tolist()
        assert trained == prompt + learnt, (
            f"TRL trains {family} on {model.processor.decode(trained)!r}, asked is {model.processor.decode(prompt)!r}"
        )
        assert model.processor.decode(learnt, skip_special_tokens=True).split() == ["yes"]
        assert set(learnt) & set(stops if isinstance(stops, list) else [stops]), "it learns to stop"
        assert (collate[n]["pixel_values"].flatten() - pixels).abs().max() < 1e-6
        alone = collate[n]["labels"][0][collate[n]["labels"][0] != -100].tolist()
        assert alone == learnt  # padding is never learnt


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("family", ["paligemma", "paligemma2", "gemma3", "qwen2_5_vl"])
def test_what_was_taught_is_answered(tmp_path, folder_of, family, lora):
    """Eight rows by heart: through transformers and TRL into weights, and out again through our own Model."""
    from auditdm.backends.local import TransformersModel

    questions = ["how many dogs ?", "is the star red ?", "what shape is large ?", "colour of the cat ?"]
    pictures = [fake_picture("one"), fake_picture("two")]
    taught = ["one", "yes", "star", "red", "two", "no", "circle", "blue"]
    rows = [(p, q, a) for (p, q), a in zip(((p, q) for p in pictures for q in questions), taught, strict=True)]
    options = {"learning_rate": 1e-2, "max_steps": 70, "lr_scheduler_type": "cosine", "save_strategy": "no"}
    with Run.open(tmp_path, {}, {}) as run:
        config = configured(str(folder_of(family)), lora, **options)
        folder = fine_tune(run, config, lessons_on(run, rows), "audited", quiet)
    model = TransformersModel(folder, max_new_tokens=6)
    said = [a.text for a in model.generate([(p, WORDING.replace("{question}", q)) for p, q, _ in rows])]
    assert said == taught


@pytest.mark.parametrize("family", ["paligemma", "paligemma2"])
def test_only_the_layers_of_the_family_learn_by_lora(tmp_path, folder_of, family):
    from auditdm.backends.local import load_vlm

    with Run.open(tmp_path, {}, {}) as run:
        config = configured(str(folder_of(family)), LORA, max_steps=1, learning_rate=1e-2)
        folder = fine_tune(run, config, lessons_on(run, [(fake_picture(), QUESTIONS[0], "two")]), "audited", quiet)
    before, after = (load_vlm(f, "float32")[0].state_dict() for f in (folder_of(family), folder))
    changed = {key for key in before if not (before[key] == after[key]).all()}
    assert changed
    assert all("language_model" in key and "_proj" in key for key in changed), changed


# --- what it knew


@pytest.mark.parametrize(("family", "lora"), [*((f, None) for f in FAMILIES), ("gemma3", LORA), ("paligemma2", LORA)])
def test_where_nothing_was_known_the_loss_is_that_of_trl(tmp_path, folder_of, family, lora):
    """Logits at the answers alone, of every architecture: a random model knows no answer, so there is nothing to keep."""
    import torch

    rows = [(fake_picture(f"{n}"), q, "purple") for n, q in enumerate(QUESTIONS)]
    losses = []
    with Run.open(tmp_path / "run", {}, {}) as run:
        for keep in (1.0, 0.0):
            config = configured(str(folder_of(family)), lora, per_device_train_batch_size=3)
            config = config.model_copy(update={"rectify": config.rectify.model_copy(update={"keep": keep})})
            torch.manual_seed(0)
            trainer = _trainer(run, config, lessons_on(run, rows), "audited", quiet)
            batch = trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[n] for n in range(3)]))
            trainer.model.eval()
            if keep:
                assert set(trainer.thoughts.values()) == {None}
            with torch.no_grad():
                losses.append(float(trainer.compute_loss(trainer.model, batch)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_an_answer_is_kept_only_where_all_of_it_was_right():
    import torch

    from auditdm.runs.keeping import strayed, thought_of

    sure = 3.0 * torch.eye(4)
    assert thought_of(sure[[0, 3]], torch.tensor([0, 1])) is None
    thought = thought_of(sure[[0, 1]], torch.tensor([0, 1]))
    assert float(strayed(sure[[0, 1]], thought)) == pytest.approx(0.0, abs=1e-5)
    forgotten = float(strayed(torch.zeros(2, 4), thought))
    halves = (sure[[0, 1]] / 2).log_softmax(-1)
    assert forgotten == pytest.approx(float((halves.exp() * (halves - torch.tensor(0.25).log())).sum()), abs=1e-4)


def test_of_many_words_the_likeliest_are_noted_and_the_others_count_together():
    import torch

    from auditdm.runs.keeping import NOTED, TEMPERATURE, strayed, thought_of

    torch.manual_seed(0)
    old, new = 6 * torch.randn(3, 1000), 6 * torch.randn(3, 1000)
    thought = thought_of(old, old.argmax(-1))
    assert thought.words_TK.shape == (3, NOTED)
    p, q = ((x / TEMPERATURE).log_softmax(-1) for x in (old, new))
    whole = float((p.exp() * (p - q)).sum())
    assert 0.8 * whole < float(strayed(new, thought)) <= whole


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_a_target_that_learns_something_new_keeps_more_of_what_it_thought(tmp_path, folder_of, lora):
    """Divergence from the model before, on questions that it is taught its own answers to, beside a new answer to another."""
    import torch

    from auditdm.backends.local import TransformersModel

    before = TransformersModel(folder_of("zoo"), max_new_tokens=6)
    pictures = [fake_picture(f"{n}") for n in range(8)]
    known = [(p, "how many shapes are there ?") for p in pictures]
    own = [a.text for a in before.generate([(p, WORDING.replace("{question}", q)) for p, q in known])]
    rows = [(p, q, a) for (p, q), a in zip(known, own, strict=True)]
    rows += [(p, "what pattern has the star ?", "purple") for p in pictures]
    strayed = []
    for keep in (4.0, 0.0):
        config = configured(str(folder_of("zoo")), lora, learning_rate=2e-3, max_steps=20, save_strategy="no")
        config = config.model_copy(update={"rectify": config.rectify.model_copy(update={"keep": keep})})
        with Run.open(tmp_path / f"{keep}", {}, {}) as run:
            folder = fine_tune(run, config, lessons_on(run, rows), "audited", quiet)
            trainer = _trainer(run, config, lessons_on(run, rows), "audited", quiet)
            batch = dict(trainer.data_collator([trainer.train_dataset[n] for n in range(8)]))
        batch.pop("row", None)
        told = batch.pop("labels")[:, 1:] != -100
        after = TransformersModel(folder, max_new_tokens=6)
        with torch.no_grad():
            old, new = (m.model.float()(**batch).logits[:, :-1][told].log_softmax(-1) for m in (before, after))
        strayed.append(float(torch.nn.functional.kl_div(new, old, log_target=True, reduction="batchmean")))
    assert strayed[0] < 0.7 * strayed[1], strayed


class Stopped(Exception):
    pass


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("family", ["paligemma2", "gemma3"])
def test_transformers_goes_on_from_a_checkpoint_as_if_it_had_not_been_stopped(tmp_path, folder_of, family, lora):
    """transformers 5.23 passes over weights whose saved names it does not know (#43701)."""
    from auditdm.backends.local import load_vlm

    def stopping(event, values):
        if values["step"] == 2 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise Stopped

    config = configured(str(folder_of(family)), lora, max_steps=3, save_steps=1, learning_rate=1e-2)
    weights = []
    for name, tell in (("cut", stopping), ("whole", quiet)):
        with Run.open(tmp_path / name, {}, {}) as run:
            rows = [(fake_picture(f"{n}"), QUESTIONS[n % 3], "yes") for n in range(9)]
            lessons = lessons_on(run, rows)
            if name == "cut":
                with pytest.raises(Stopped):
                    fine_tune(run, config, lessons, "audited", tell)
            folder = fine_tune(run, config, lessons, "audited", tell)
            weights.append(load_vlm(folder, "float32")[0].state_dict())
    assert all((weights[0][key] == weights[1][key]).all() for key in weights[1])


# --- PaliGemma


def paligemma_rows(count):
    words = ["how many dogs ?", "what colour is the large star on the left of the small red circle ?"]
    return [
        {
            "images": [fake_picture(f"{n}")],
            "prompt": f"<image>answer en {words[n % 2]}",
            "completion": "two" if n % 2 else "a large red circle",
        }
        for n in range(count)
    ]


def test_paligemmas_answer_alone_is_learnt_and_read_from_left_to_right(folder_of):
    from auditdm.backends.local import load_vlm

    _, processor = load_vlm(folder_of("paligemma"), "float32", "cpu")
    batch = prefix_and_suffix(processor, paligemma_rows(2))
    for ids, kinds, labels, mask, answer in zip(
        batch["input_ids"], batch["token_type_ids"], batch["labels"], batch["attention_mask"],
        ("a large red circle", "two"), strict=True,
    ):  # fmt: skip
        count = int(mask.sum())
        assert mask[:count].all(), "padding is on the right, so that positions are those of generation"
        learnt = labels != -100
        assert (learnt == (kinds == 1)).all(), "token types: 0 on the prompt and on padding, 1 on the answer"
        first = int(learnt.nonzero()[0])
        assert learnt[first:count].all() and not learnt[:first].any() and not learnt[count:].any()
        assert processor.decode(ids[first:count], skip_special_tokens=True) == answer
        assert ids[count - 1] == processor.tokenizer.eos_token_id
        assert processor.tokenizer.decode(ids[first - 1]) == "\n"


def test_trl_would_hand_paligemma_an_answer_without_its_picture(folder_of):
    """TRL 1.16's collator; the day that this passes, our own collator can go."""
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    from auditdm.backends.local import load_vlm

    _, processor = load_vlm(folder_of("paligemma"), "float32", "cpu")
    with pytest.raises(ValueError, match="`images` are expected"):
        DataCollatorForVisionLanguageModeling(processor=processor, max_length=None, completion_only_loss=True)(
            paligemma_rows(2)
        )


@pytest.mark.parametrize("family", ["paligemma", "paligemma2"])
def test_transformers_and_trl_agree_on_the_loss_of_paligemma(tmp_path, folder_of, family):
    """TRL's fused head has to cap the logits as Gemma 2 does, and to hand the token types on."""
    import torch

    with Run.open(tmp_path, {}, {}) as run:
        rows = [(fake_picture(f"{n}"), QUESTIONS[n % 3], "yes") for n in range(4)]
        trainer = _trainer(run, configured(str(folder_of(family))), lessons_on(run, rows), "audited", quiet)
        batch = trainer.data_collator([trainer.train_dataset[n] for n in range(4)])
    model = trainer.model.eval()
    with torch.no_grad():
        ours = trainer.compute_loss(model, dict(batch))
        logits = model(**{k: v for k, v in batch.items() if k != "labels"}).logits
        causal = model(**{k: v for k, v in batch.items() if k not in ("labels", "token_type_ids")}).logits
    theirs, other = (
        torch.nn.functional.cross_entropy(x[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)
        for x in (logits, causal)
    )
    assert abs(float(ours) - float(theirs)) < 1e-4
    assert abs(float(ours) - float(other)) > 1e-3, "the prompt is read both ways"


def test_padding_changes_nothing_that_paligemma_learns_from(folder_of):
    """transformers counts positions from the first column, so padding on the left would shift the prompt."""
    import torch

    from auditdm.backends.local import load_vlm

    model, processor = load_vlm(folder_of("paligemma"), "float32", "cpu")
    rows = paligemma_rows(2)
    with torch.no_grad():
        together = model(**prefix_and_suffix(processor, rows)).logits
        for n, row in enumerate(rows):
            alone = model(**prefix_and_suffix(processor, [row])).logits[0]
            assert (together[n, : len(alone)] - alone).abs().max() < 1e-3


# --- what cannot be


def test_layers_that_the_target_does_not_have_are_said_in_words(tmp_path, folder_of):
    with Run.open(tmp_path, {}, {}) as run:
        lessons = lessons_on(run, [(fake_picture(), QUESTIONS[0], "two")])
        config = configured(str(folder_of("paligemma")), {"target_modules": ["qkv"]})
        with pytest.raises(ConfigError, match=r"rectify: target .* cannot be trained so: .*qkv"):
            fine_tune(run, config, lessons, "audited", quiet)


def test_a_folder_that_is_there_is_not_trained_again(tmp_path):
    with Run.open(tmp_path, {}, {}) as run:
        (tmp_path / "models" / "target-audited").mkdir(parents=True)
        config = configured("sandbox/target-small")
        assert fine_tune(run, config, [], "audited", quiet) == tmp_path / "models" / "target-audited"
