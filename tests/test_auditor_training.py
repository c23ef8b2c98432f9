import signal
from pathlib import Path

import pytest
import yaml

from acting_audit import BATCH, GROUP, STEPS, command, configured, pictures_in, stop, tables, weights_in
from acting_models import digit
from auditdm.config import parse_config
from auditdm.errors import AuditError, ConfigError, ModelError
from auditdm.method.auditor import prompt_for
from auditdm.method.reward import FINE
from auditdm.runs.auditing import audit
from auditdm.runs.auditor_training import one_request, training_requests
from auditdm.runs.discovery import auditor_of, promising_pictures
from auditdm.runs.pictures import split_pool
from auditdm.runs.roles import fill_roles
from auditdm.runs.trainer_options import last_checkpoint
from auditdm.store import Run

pytestmark = pytest.mark.tiny

LORA = {"r": 4, "lora_alpha": 8}


class Watched:
    """What TRL's trainers made of the rewards, noted step by step."""

    def __init__(self, patch):
        from trl import GRPOTrainer

        self.advantages, self.prompts, self.trainers = [], [], []
        score = GRPOTrainer._generate_and_score_completions

        def noted(trainer, inputs):
            scored = score(trainer, inputs)
            self.trainers.append(trainer)
            self.advantages.append(scored["advantages"].tolist())
            self.prompts += [
                ids[mask.bool()].tolist() for ids, mask in zip(scored["prompt_ids"], scored["prompt_mask"], strict=True)
            ]
            return scored

        patch.setattr(GRPOTrainer, "_generate_and_score_completions", noted)


def zoo(name):
    from auditdm.sandbox.zoo import model_folder

    return Path(model_folder(name))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return pictures_in(tmp_path_factory.mktemp("pool") / "pictures")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, pictures):
    """An audit that nobody disturbed: its folder and what was seen of its training."""
    with pytest.MonkeyPatch.context() as patch:
        watched = Watched(patch)
        folder = tmp_path_factory.mktemp("whole") / "run"
        audit(parse_config(configured(pictures)), folder)
    return folder, watched


# --- the reward


def due(proposal, novelty):
    """What the rule of the acting models makes a proposal worth."""
    if proposal["malformed"] or proposal["void"]:
        return -FINE
    ends_in = digit(proposal["question"])
    if ends_in in (0, 3):  # the target is mute; a reference is, when it is asked again
        return None
    return novelty if ends_in in (1, 4, 5) else 0.0  # all references against it: dissent 1


def test_each_reward_reaches_its_completion(whole):
    folder, watched = whole
    run = Run.read(folder)
    proposals = {row["id"]: row for row in run.rows("proposals") if row["phase"] == "training"}
    rewards = run.rows("rewards")
    assert [row["id"] for row in rewards] == list(proposals)
    assert len(rewards) == STEPS * BATCH
    for row in rewards:
        assert row["reward"] == due(proposals[row["id"]], row["novelty"])
    assert len({row["reward"] for row in rewards}) > 3
    assert None in {row["reward"] for row in rewards}
    paid = [row["reward"] for row in rewards]
    for step in range(STEPS):
        expected = []
        for start in range(step * BATCH, (step + 1) * BATCH, GROUP):
            group = paid[start : start + GROUP]
            told = [r for r in group if r is not None]
            baseline = sum(told) / len(told) if told else 0.0
            expected += [0.0 if r is None else r - baseline for r in group]
        assert watched.advantages[step] == pytest.approx(expected, abs=1e-6), (
            "trl: an advantage is the reward minus the mean of its group, and a reward of None takes no part in it; "
            "this release of TRL does otherwise"
        )


def test_each_row_of_the_log_is_the_mean_of_its_step(whole):
    run = Run.read(whole[0])
    rewards = {row["id"]: row["reward"] for row in run.rows("rewards")}
    verdicts = {row["id"]: row for row in run.rows("verdicts")}
    proposals = [row for row in run.rows("proposals") if row["phase"] == "training"]
    log = run.rows("training_log")
    assert [row["step"] for row in log] == list(range(STEPS))
    for row in log:
        here = [p for p in proposals if p["step"] == row["step"]]
        judged = [verdicts[p["probe_id"]] for p in here if p["probe_id"]]
        hits = [v for v in judged if v["outcome"] == "failure" and v["self_consistent"]]
        told = [rewards[p["id"]] for p in here if rewards[p["id"]] is not None]
        void = sum(v["outcome"] == "void" for v in judged) + sum(p["void"] is not None for p in here)
        assert row["success"] == len(hits) / BATCH
        assert row["void"] == void / BATCH
        assert row["invalid"] == sum(p["malformed"] is not None for p in here) / BATCH
        assert row["reward"] == pytest.approx(sum(told) / len(told))


def test_the_auditor_reads_the_same_tokens_in_training_and_in_discovery(whole, pictures):
    folder, watched = whole
    config, run = parse_config(configured(pictures)), Run.read(folder)
    shown = {row["id"]: run.picture(row["id"]) for row in run.rows("sources")}
    auditor = auditor_of(run, config, "trained")
    asked = [r for step in training_requests(config, _split(config, run), "trained") for r in step]
    prompts = fill_roles(config).prompts
    for request, trained in zip(asked, watched.prompts[::GROUP], strict=True):
        read = tokens(auditor, shown[request.source_id], prompt_for(prompts, request.action, request.question))
        assert trained == read, request
    assert any("<image>" in str(request.question) for request in asked)


def tokens(model, picture, text):
    """What the model reads, taken where it reads it."""
    seen = []
    hook = model.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    model.generate([(picture, text)])
    hook.remove()
    return seen[0][0].tolist()


def _split(config, run):
    class Silent:  # a run that is only read
        ids, write_json, append = run.ids, staticmethod(lambda *_: None), staticmethod(lambda *_: None)

    return split_pool(config, Silent())


def test_discovery_draws_the_pictures_of_the_pools_own_questions_by_what_they_promise(whole, pictures):
    folder, _ = whole
    config, run = parse_config(configured(pictures)), Run.read(folder)
    split = _split(config, run)
    weights = promising_pictures(run, split, split.discovery, "trained")
    assert weights.keys() == set(split.discovery)  # each of these pictures has a question of its own
    assert sum(weights.values()) == pytest.approx(1)
    assert promising_pictures(run, split, split.discovery, "prompt_only") == {}  # it was never trained
    chosen, others = split.discovery[0], split.discovery[1:]
    only = {chosen: 1.0, **dict.fromkeys(others, 0.0)}
    with_all, in_turn = (
        [one_request(config, split, split.discovery, "trained", "discovery", 0, n, w) for n in range(200)]
        for w in (only, {})
    )
    assert [r.action for r in with_all] == [r.action for r in in_turn]
    for drawn, usual in zip(with_all, in_turn, strict=True):
        if usual.question is None:
            assert drawn == usual
        else:
            assert (drawn.source_id, drawn.question) == (chosen, split.questions[chosen])
    assert {r.question is None for r in in_turn} == {True, False}


def test_training_changes_the_weights_and_leaves_the_zoo_alone(whole):
    before, after = weights_in(zoo("auditor")), weights_in(whole[0] / "models" / "auditor-trained")
    assert before.keys() == after.keys()
    changed = {key for key in before if not (before[key].float() == after[key].float()).all()}
    assert changed > {key for key in before if "language_model" in key and "proj.weight" in key}
    assert not any("vision" in key for key in changed)


# --- stopped and resumed


@pytest.mark.slow
def test_a_run_that_is_killed_and_interrupted_ends_with_the_same_tables(whole, pictures, tmp_path):
    config, folder = tmp_path / "audit.yaml", tmp_path / "a run"
    config.write_text(yaml.safe_dump(configured(pictures)))
    saved = folder / "trainer" / "auditor-trained" / "checkpoint-2" / "trainer_state.json"
    stop(command(config, folder, ACTING_PAUSE_S="0.1"), saved.exists, signal.SIGKILL)  # in the third step of four
    assert {row["step"] for row in Run.read(folder).rows("proposals")} == {0, 1}

    begun = (folder / "stages.json").stat().st_mtime_ns
    process = command(config, folder, ACTING_PAUSE_S="0.5")
    out, err = stop(process, lambda: (folder / "stages.json").stat().st_mtime_ns != begun, signal.SIGINT, after_s=3)
    assert process.returncode == 130, err
    assert out == ""
    assert "Stopped; what was done is kept. The same command goes on from there:" in err
    assert f"auditdm audit {config} --run '{folder}'" in err
    assert "Traceback" not in err
    assert "missing keys" not in err  # of the weights, which were put in place beforehand

    found = folder / "tables" / "proposals"
    process = command(config, folder, ACTING_PAUSE_S="0.1")
    stop(process, lambda: len(list(found.glob("part-*"))) > 2, signal.SIGKILL)  # two of training, one of discovery
    assert (folder / "models" / "auditor-trained").exists()
    assert not (folder / "DONE").exists()

    audit(parse_config(configured(pictures)), folder)
    assert tables(folder) == tables(whole[0])
    assert (folder / "DONE").read_text() == (whole[0] / "DONE").read_text()
    ours, theirs = weights_in(folder / "models/auditor-trained"), weights_in(whole[0] / "models/auditor-trained")
    assert all((ours[key] == theirs[key]).all() for key in theirs)


class Stopped(Exception):
    pass


def test_an_adapter_learns_alone_and_resumes_to_the_same_weights(tmp_path):
    from safetensors.torch import load_file

    config = parse_config(
        configured(
            steps=2, lora=LORA, checkpoint_every=1, grpo={"learning_rate": 1e-3, "gradient_accumulation_steps": 2}
        )
        | {"discovery": {"probes": 4}}
    )

    def stopping(event, values):
        if event == "step" and values["step"] == 1:
            raise Stopped

    with pytest.raises(Stopped):
        audit(config, tmp_path / "cut", tell=stopping)
    with pytest.MonkeyPatch.context() as patch:
        watched = Watched(patch)
        audit(config, tmp_path / "cut")
        audit(config, tmp_path / "whole")
    assert tables(tmp_path / "cut") == tables(tmp_path / "whole")
    adapters = [
        load_file(tmp_path / name / "models/auditor-trained/adapter_model.safetensors") for name in ("cut", "whole")
    ]
    assert all((adapters[0][key] == adapters[1][key]).all() for key in adapters[1])
    assert all(weight.any() for key, weight in adapters[1].items() if "lora_B" in key)
    assert not any("vision" in key for key in adapters[1])

    base = weights_in(zoo("auditor"))
    known = {key.rpartition("layers.")[2]: weight for key, weight in base.items() if "language_model" in key}
    kept = {
        key.rpartition("layers.")[2].replace(".base_layer", ""): weight
        for key, weight in watched.trainers[-1].model.named_parameters()
        if "language_model" in key and "lora" not in key and "layers." in key
    }
    assert len(kept) > 20
    assert all((weight == known[key].float()).all() for key, weight in kept.items())

    run = Run.read(tmp_path / "whole")
    trained, untrained = (auditor_of(run, config, arm) for arm in ("trained", "prompt_only"))
    assert not same_weights(trained.model, untrained.model)
    assert trained.revision.startswith(f"{untrained.revision}+")


def same_weights(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return all((ours[key] == theirs[key]).all() for key in theirs)


def test_an_auditor_that_has_an_adapter_keeps_it_once(tmp_path):
    """Trained whole or by another adapter, the weights in the run folder have it, and it is not added again."""
    from peft import LoraConfig, get_peft_model

    from auditdm.backends.local import load_vlm
    from auditdm.runs.trainer_options import LANGUAGE_LAYERS

    model, _ = load_vlm(zoo("auditor"))
    tuned = get_peft_model(model, LoraConfig(target_modules=LANGUAGE_LAYERS, r=2, init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    merged = tuned.merge_and_unload().state_dict()
    auditor = {"model": "sandbox/auditor", "options": {"adapter": str(tmp_path / "adapter")}}
    for name, lora in (("all", None), ("lora", LORA)):
        rate = {"learning_rate": 0.0}
        training = configured(steps=1, lora=lora, grpo=rate)
        config = parse_config(training | {"auditor": auditor, "compare": [], "discovery": {"probes": 1}})
        run = audit(config, tmp_path / name)
        found = auditor_of(run, config, "trained").model.state_dict()
        assert all((found[key] - merged[key]).abs().max() < 1e-5 for key in merged)


def test_half_a_checkpoint_is_none(tmp_path):
    for name, state in (
        ("checkpoint-2", "{}"),
        ("checkpoint-10", "{}"),
        ("checkpoint-11", '{"global'),
        ("checkpoint-12", None),
    ):
        (tmp_path / name).mkdir()
        if state is not None:
            (tmp_path / name / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert last_checkpoint(tmp_path / "nowhere") is None


# --- what cannot be


@pytest.mark.parametrize(
    ("changed", "kind", "part"),
    [
        ({"training": {"grpo": {"seed": 1}}}, ConfigError, "training.grpo.seed is set by the run itself; remove it"),
        ({"training": {"grpo": {"learning_rat": 1}}}, ConfigError, "training.grpo: TRL refuses it: .*learning_rat"),
        ({"training": {"lora": {"rank": 4}}}, ConfigError, "training.lora: PEFT refuses it: .*rank"),
        ({"rectify": {"lora": {"rank": 4}}}, ConfigError, "rectify.lora: PEFT refuses it: .*rank"),
        ({"rectify": {"options": {"output_dir": "x"}}}, ConfigError, "rectify.options.output_dir is set by the run"),
        (
            {"rectify": {"options": {"loss_type": "dft"}}},
            ConfigError,
            "rectify.options.loss_type is 'dft', but with rectify.keep",
        ),
        ({"rectify": {"options": {"max_stepz": 1}}}, ConfigError, "rectify.options: TRL refuses it: .*max_stepz"),
        (
            {"training": {"grpo": {"gradient_accumulation_steps": 7}}},
            ConfigError,
            "gradient_accumulation_steps is 7; it must divide training.batch, 64",
        ),
    ],
)
def test_options_are_looked_at_before_anybody_is_asked(tmp_path, changed, kind, part):
    with pytest.raises(kind, match=part):
        audit(parse_config(configured() | changed), tmp_path)
    assert not (tmp_path / "tables").exists()


def test_layers_that_the_auditor_does_not_have_are_said_in_words(tmp_path):
    config = parse_config(configured(lora={"target_modules": ["qkv"]}))
    with pytest.raises(ConfigError, match=r"training: auditor sandbox/auditor cannot be trained so: .*qkv"):
        audit(config, tmp_path)


def test_paligemma_is_refused_as_auditor(tmp_path):
    from tiny_models import write_tiny_model

    folder = write_tiny_model("paligemma", tmp_path / "model")
    with pytest.raises(ModelError, match="PaliGemma cannot be trained by GRPO"):
        audit(parse_config(configured() | {"auditor": str(folder)}), tmp_path / "run")


def test_a_full_disk_while_a_checkpoint_is_written_is_said_in_words(tmp_path):
    import resource

    config = parse_config(configured(steps=1) | {"compare": [], "discovery": {"probes": 1}})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(AuditError, match="the disk is full while writing weights or a checkpoint"):
            audit(config, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(Run.read(tmp_path).rows("rewards")) == BATCH
    assert audit(config, tmp_path).finished


def test_no_training_steps_is_an_audit_with_the_auditor_as_it_is(tmp_path):
    config = parse_config(configured(steps=0) | {"discovery": {"probes": 4}})
    run = audit(config, tmp_path)
    said = {arm: [r["reply"] for r in run.rows("proposals") if r["arm"] == arm] for arm in ("trained", "prompt_only")}
    assert said["trained"] == said["prompt_only"]
    assert len(said["trained"]) == 4
    assert not (tmp_path / "models").exists()
