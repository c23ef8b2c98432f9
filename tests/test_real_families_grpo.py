"""GRPO on the architectures people use, tiny: two steps through our own training, and the traps of three libraries."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from auditdm.backends.families import FAMILIES
from auditdm.config import ModelSpec
from auditdm.errors import ConfigError
from auditdm.method.auditor import prompt_for
from auditdm.runs.discovery import auditor_of
from auditdm.runs.roles import fill_roles, model_from
from auditdm.runs.trainer_options import grpo_options
from auditdm.store import Run
from grpo_training import BATCH, GROUP, LORA, STEPS, TOKENS, configured, train

pytestmark = pytest.mark.tiny

EYES = ("vision", "visual")


class Stopped(Exception):
    pass


@pytest.fixture(scope="module", params=["gemma3", "qwen2_5_vl"])
def trained(request, tmp_path_factory):
    """A tiny model of the family after two steps that nobody disturbed."""
    from tiny_models import write_tiny_model

    home = tmp_path_factory.mktemp(request.param)
    model = write_tiny_model(request.param, home / "model")
    config = configured(model)
    folder, watched, split = train(config, home / "run")
    return SimpleNamespace(
        family=request.param, model=model, config=config, run=home / "run", folder=folder, seen=watched, split=split
    )


def adapter_in(folder):
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def rewards(run):
    return [row["reward"] for row in Run.read(run).rows("rewards")]


# --- what training does


def test_two_steps_move_the_adapter_and_nothing_else(trained):
    """peft: only its own weights learn, on the layers of the language model; the base and the tower stay to the bit."""
    from auditdm.backends.loading import load_vlm

    assert len(set(rewards(trained.run))) > 2, "equal rewards teach nothing, so this test would see nothing"
    adapter = adapter_in(trained.folder)
    assert all(weight.any() for key, weight in adapter.items() if "lora_B" in key)  # these start at zero
    assert len(adapter) == 2 * 2 * 7  # A and B, two layers, q k v o gate up down
    before = dict(load_vlm(trained.model)[0].named_parameters())
    named = list(trained.seen.trainer.model.named_parameters())
    kept = {n.removeprefix("base_model.model.").replace(".base_layer", ""): w for n, w in named if "lora_" not in n}
    assert kept.keys() == before.keys()
    assert all((kept[key] == before[key]).all() for key in before)
    assert sum(any(eye in key for eye in EYES) for key in kept) > 10
    learning = [name for name, weight in named if weight.requires_grad]
    assert len(learning) == len(adapter)
    assert all("lora_" in name and "language_model" in name for name in learning)


def test_what_was_trained_is_asked_as_base_and_adapter(trained):
    """peft, transformers: the saved adapter, laid on the base again, has the weights that the training ended with."""
    merged = trained.seen.trainer.model.merge_adapter
    discovering = auditor_of(Run.read(trained.run), trained.config, "trained")
    spec = ModelSpec(model=str(trained.model), options={"adapter": str(trained.folder)})
    target, base = model_from(spec), model_from(ModelSpec(model=str(trained.model)))
    assert target.revision == discovering.revision
    assert target.revision.startswith(f"{base.revision}+")
    merged()
    try:
        ended = {
            name.removeprefix("base_model.model.").replace(".base_layer", ""): weight.detach().clone()
            for name, weight in trained.seen.trainer.model.named_parameters()
            if "lora_" not in name
        }
    finally:
        trained.seen.trainer.model.unmerge_adapter()
    for loaded in (target, discovering):
        found = dict(loaded.model.named_parameters())
        assert found.keys() == ended.keys()
        assert all((found[key] - ended[key]).abs().max() < 1e-6 for key in ended)
    changed = [key for key, weight in base.model.named_parameters() if (weight - ended[key]).abs().max() > 1e-4]
    assert len(changed) == 14


def test_a_training_that_was_cut_goes_on_to_the_same_weights(trained, tmp_path):
    """trl, transformers, peft: a checkpoint is a whole one, and no step falls between two of them."""

    def stopping(event, values):
        if event == "step" and values["step"] == 1:
            raise Stopped

    with pytest.raises(Stopped):
        train(trained.config, tmp_path, tell=stopping)
    assert (tmp_path / "trainer/auditor-trained/checkpoint-1/adapter_model.safetensors").exists()
    folder, seen, _ = train(trained.config, tmp_path)
    assert len(seen.scored) == 1, "trl: the step before the checkpoint was done again"
    ours, theirs = adapter_in(folder), adapter_in(trained.folder)
    assert ours.keys() == theirs.keys()
    assert all((ours[key] == theirs[key]).all() for key in theirs)
    assert rewards(tmp_path) == rewards(trained.run)


def test_the_family_says_which_layers_get_an_adapter(trained, tmp_path, monkeypatch):
    narrow = replace(FAMILIES[trained.family], lora=r".*language_model.*\.q_proj")
    monkeypatch.setitem(FAMILIES, trained.family, narrow)
    folder, _, _ = train(configured(trained.model, steps=1), tmp_path / "narrow")
    assert {key.split(".")[-3] for key in adapter_in(folder)} == {"q_proj"}
    chosen = {**LORA, "target_modules": ["v_proj"]}
    config = configured(trained.model, steps=1, lora=chosen)
    folder, _, _ = train(config, tmp_path / "chosen")
    assert {key.split(".")[-3] for key in adapter_in(folder)} == {"v_proj"}, "what the user says stands"


# --- what the policy reads and is scored on


def read_by(auditor, picture, text):
    """What a model is given to go on from when it is asked."""
    seen, writing = [], auditor.model.generate

    def noted(**kwargs):
        seen.append({key: kwargs[key] for key in kwargs if key != "generation_config"})
        return writing(**kwargs)

    auditor.model.generate = noted
    auditor.generate([(picture, text)])
    del auditor.model.generate
    return seen[0]


def test_the_policy_reads_in_training_what_the_auditor_reads_in_discovery(trained):
    """trl: pads on the left, puts the picture first, writes one <bos>, and expands the picture's tokens once."""
    auditor = model_from(trained.config.auditor)
    prompts, number = fill_roles(trained.config).prompts, auditor.model.config.image_token_id
    for scored, rows in zip(trained.seen.scored, trained.seen.inputs, strict=True):
        for ids, mask, row in zip(scored["prompt_ids"], scored["prompt_mask"], rows, strict=True):
            picture = trained.split.pictures[row["source_id"]]
            read = read_by(auditor, picture, prompt_for(prompts, row["action"], row["question"]))["input_ids"][0]
            assert ids[mask.bool()].tolist() == read.tolist()
            assert mask.tolist() == sorted(mask.tolist()), "trl: the prompt is not padded on the left"
            assert read.tolist().count(number) > 1


def test_token_types_have_one_value_a_token(trained):
    """trl: it reads the prompt again to score the reply, and Gemma's tokenizer would write a second <bos> there.

    Seen in trl 1.16.0: the types of all tokens moved by one, so the picture's block was not where the picture was.
    """
    number = trained.seen.trainer.model.config.image_token_id
    for scored in trained.seen.scored:
        [types] = [scored[key] for key in ("token_type_ids", "mm_token_type_ids") if key in scored]
        assert types.shape[1] == scored["prompt_ids"].shape[1] + scored["completion_ids"].shape[1]
        for row, ids in zip(types.tolist(), scored["prompt_ids"].tolist(), strict=True):
            assert row == [int(token == number) for token in ids] + [0] * (len(row) - len(ids))


def forced(model, kwargs, tokens):
    """Log-probabilities of these tokens when the model writes one after another, each from what came before."""
    import torch
    from transformers import LogitsProcessor

    start = kwargs["input_ids"].shape[1]

    class Force(LogitsProcessor):
        def __call__(self, ids, scores):
            only = torch.full_like(scores, float("-inf"))
            only[:, tokens[ids.shape[1] - start]] = 0.0
            return only

    told = model.generate(
        **kwargs, max_new_tokens=len(tokens), do_sample=False, logits_processor=[Force()], output_logits=True,
        return_dict_in_generate=True, eos_token_id=None,
    )  # fmt: skip
    logits = torch.stack(told.logits, dim=1)[0]
    return torch.log_softmax(logits.float(), -1).gather(1, torch.tensor(tokens)[:, None])[:, 0]


def apart(config, seen, split):
    """How far the first step's loss is from what the base says word by word, and how far another picture moves that.

    In the first step the adapter does nothing yet, so the first has to be nothing.
    """
    auditor, prompts = model_from(config.auditor), fill_roles(config).prompts
    shown = {row["source_id"] for row in seen.inputs[0]}
    assert len(shown) == BATCH // GROUP
    other = split.pictures[next(key for key in split.pictures if key not in shown)]
    wrong, moved = 0.0, 0.0
    for row, measured, ids, mask in zip(
        seen.inputs[0], seen.learnt_from(0), seen.scored[0]["completion_ids"], seen.scored[0]["completion_mask"],
        strict=True,
    ):  # fmt: skip
        tokens = ids[mask.bool()].tolist()
        text = prompt_for(prompts, row["action"], row["question"])
        own, others = (
            forced(auditor.model, read_by(auditor, picture, text), tokens)
            for picture in (split.pictures[row["source_id"]], other)
        )
        wrong = max(wrong, float((measured[: len(tokens)] - own).abs().max()))
        moved = max(moved, float((others - own).abs().max()))
    return wrong, moved


def test_a_reply_is_scored_as_it_is_written(trained):
    """trl: token types and positions go on into the reply as text, and every picture stays with its own prompt."""
    wrong, moved = apart(trained.config, trained.seen, trained.split)
    assert moved > 1e-3, "the tiny model does not see, so this test would not see a picture that was swapped"
    assert wrong < 1e-4, "trl scores another text than was written"


OTHERS = ("idefics3", "internvl", "llava", "llava_next", "llava_onevision", "qwen2_vl", "qwen3_vl", "smolvlm")


@pytest.mark.slow
@pytest.mark.parametrize("family", OTHERS)
def test_every_other_family_is_scored_as_it_writes(family, tmp_path):
    """trl: the same for the pictures of other families, which it cuts up by names it knows."""
    from tiny_models import write_tiny_model

    config = configured(write_tiny_model(family, tmp_path / "model"), steps=1)
    folder, seen, split = train(config, tmp_path / "run")
    wrong, moved = apart(config, seen, split)
    assert moved > 1e-3
    assert wrong < 1e-4
    assert not any(eye in key for key in adapter_in(folder) for eye in EYES), "peft: the tower has an adapter"


def test_no_reply_holds_the_token_of_a_picture(trained):
    """trl: it must forbid that token while sampling (trl #3847), or the features of the pictures no longer fit."""
    number = trained.seen.trainer.model.config.image_token_id
    written = [t for scored in trained.seen.scored for row in scored["completion_ids"].tolist() for t in row]
    assert len(written) > STEPS * BATCH * TOKENS // 2
    assert number not in written
    assert number in trained.seen.trainer.generation_config.suppress_tokens


# --- options


def test_a_batch_counts_completions(trained):
    """trl: batch arithmetic is over completions, and groups lie side by side."""
    assert [len(scored["completion_ids"]) for scored in trained.seen.scored] == [BATCH] * STEPS
    for rows in trained.seen.inputs:
        numbers = [row["number"] for row in rows]
        assert numbers == [n for n in numbers[::GROUP] for _ in range(GROUP)]
        assert len(set(numbers)) == BATCH // GROUP


def test_with_an_adapter_the_base_is_the_reference_of_the_kl_term(trained, tmp_path):
    """trl, peft: with beta above 0 no second model is loaded; the adapter is switched off instead."""
    config = configured(trained.model, grpo={"beta": 0.1})
    folder, seen, _ = train(config, tmp_path)
    assert seen.trainer.ref_model is None
    moved = [
        float((scored["ref_per_token_logps"] - seen.learnt_from(step))[scored["completion_mask"].bool()].abs().max())
        for step, scored in enumerate(seen.scored)
    ]
    assert moved[0] < 1e-5  # a fresh adapter does nothing
    assert moved[1] > 1e-4
    assert adapter_in(folder)


def test_an_adapter_on_the_head_is_refused_in_words(trained, tmp_path):
    """trl: it multiplies by the head's weight itself, so an adapter there would never learn."""
    config = configured(trained.model, lora={**LORA, "target_modules": ["lm_head"]})
    with pytest.raises(ConfigError, match=r"cannot be trained so: .*lm_head"):
        train(config, tmp_path)


def test_without_a_gpu_nothing_that_needs_one_is_switched_on(tmp_path):
    """trl: it switches bf16 and gradient checkpointing on where nothing is said."""
    import torch

    on_gpu = torch.cuda.is_available()
    args = grpo_options(configured(tmp_path), tmp_path, "gated")
    assert (args.use_cpu, args.bf16, args.gradient_checkpointing) == (not on_gpu, on_gpu, on_gpu)
    assert args.report_to in ("none", [], ["none"])


@pytest.mark.parametrize("accumulated", [1, 2, 4])
def test_a_checkpoint_never_falls_between_writing_and_learning(tmp_path, accumulated):
    """trl: replies that wait to be learnt from are in no checkpoint; so each step writes its own."""
    config = configured(tmp_path, grpo={"gradient_accumulation_steps": accumulated})
    args = grpo_options(config, tmp_path, "gated")
    assert args.steps_per_generation == args.gradient_accumulation_steps == accumulated
    assert args.num_iterations == 1
    assert args.generation_batch_size == BATCH


def test_the_papers_schedule_is_the_one_that_runs(tmp_path):
    """transformers: warmup_steps below 1 is a share (warmup_ratio is gone), and the cosine ends at min_lr."""
    import torch
    from transformers import get_scheduler

    paper = {
        "learning_rate": 3e-6, "lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6},
        "warmup_steps": 0.1,
    }  # fmt: skip
    args = grpo_options(configured(tmp_path, steps=1000, grpo=paper), tmp_path, "paper")
    assert args.get_warmup_steps(1000) == 100
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=args.learning_rate)
    schedule = get_scheduler(
        args.lr_scheduler_type, optimizer, num_warmup_steps=args.get_warmup_steps(1000), num_training_steps=1000,
        scheduler_specific_kwargs=args.lr_scheduler_kwargs,
    )  # fmt: skip
    rates = []
    for _ in range(1000):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == 0.0
    assert rates[50] == pytest.approx(1.5e-6)
    assert max(rates) == rates[100] == pytest.approx(3e-6)
    assert rates[550] == pytest.approx(2e-6)  # half way down
    assert rates[-1] == pytest.approx(1e-6, rel=1e-4)
