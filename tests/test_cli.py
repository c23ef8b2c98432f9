import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from auditdm.backends.fakes import fake_picture
from auditdm.cli import app
from auditdm.store import Run

HERE = Path(__file__).parent
VERBS = sorted(typer.main.get_command(app).commands)
ESCAPE = "\x1b"


@pytest.fixture
def audit_yaml(tmp_path):
    """Writes the YAML of an audit that needs no torch, with changes, beside a folder of eight pictures."""
    (tmp_path / "photos").mkdir()
    for n in range(8):
        fake_picture(str(n)).save(tmp_path / "photos" / f"{n}.png")
    told = {
        "images": str(tmp_path / "photos"),
        "auditor": "acting_models:auditor",
        "target": "acting_models:target",
        "references": ["acting_models:reference", "acting_models:other"],
        "compare": [],
        "training": {"steps": 0},
        "discovery": {"probes": 24, "batch": 8},
    }

    def written(drop=(), **changes):
        kept = {key: value for key, value in (told | changes).items() if key not in drop}
        (tmp_path / "audit.yaml").write_text(yaml.safe_dump(kept))
        return tmp_path / "audit.yaml"

    return written


def said(*words):
    """Exit code, standard output and standard error of a command, in this process."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def started(*words, code="from auditdm.cli import main; main()", **variables):
    path = os.pathsep.join([str(HERE.parent / "src"), str(HERE)])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **variables},
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a shell in the background ignores it, and so would we
    )


def ended(process, within_s=120):
    out, err = process.communicate(timeout=within_s)
    return process.returncode, out, err


def files_in(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())


# --- what a user is shown


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb):
    code, out, err = said(verb, "--help")
    assert (code, err) == (0, "")
    assert len(typer.main.get_command(app).commands[verb].help.split()) > 4
    assert "Usage" in out


def test_help_lists_the_verbs():
    code, out, _ = said("--help")
    assert code == 0
    assert all(verb in out for verb in VERBS)
    assert {"audit", "demo", "rectify", "report"} <= set(VERBS)


@pytest.mark.parametrize("words", [["adit"], ["audit"], ["audit", "x.yaml", "--runn", "y"], ["demo", "--seed", "many"]])
def test_a_wrong_call_ends_with_2(words):
    code, out, err = said(*words)
    assert (code, out) == (2, "")
    assert "Usage" in err


def test_an_audit_prints_where_it_is_and_plain_lines_meanwhile(audit_yaml, tmp_path):
    code, out, err = said("audit", audit_yaml(), "--run", tmp_path / "run")
    assert code == 0
    first, *where = out.splitlines()
    assert first.startswith("No failure mode was named. The search ended: the pictures are used up;")
    assert where == [f"Run: {tmp_path / 'run'}", f"Report: {tmp_path / 'run' / 'report' / 'index.html'}"]
    assert ESCAPE not in err
    for line in err.splitlines():
        assert re.fullmatch(
            r"(pictures|discovery trained|modes|confirmation|causes): \d+ s\..*|  (discovery trained|confirmation|causes): .*",
            line,
        ), line
    assert Run.read(tmp_path / "run").finished
    assert (tmp_path / "run" / "report" / "index.html").exists()


def test_a_dry_run_prints_the_plan_and_leaves_nothing_behind(audit_yaml, tmp_path):
    config = audit_yaml()
    before = files_in(tmp_path)
    code, out, err = said("audit", config, "--run", tmp_path / "run", "--dry-run")
    assert (code, err) == (0, "")
    assert re.search(r"discovery trained +- +24 +- +72\b", out), out
    assert "pictures        8, of which 4 are kept from training" in out
    assert out.endswith("Nothing was loaded, asked or written.\n")
    code, out, _ = said("audit", config, "--dry-run", "--json")
    assert (code, json.loads(out)["pictures"]) == (0, 8)
    assert files_in(tmp_path) == before


def test_init_writes_a_file_that_loads_and_never_over_another(tmp_path):
    from auditdm.config import load_config

    code, out, err = said("init", tmp_path / "mine.yaml")
    assert (code, err) == (0, "")
    assert f"auditdm audit {tmp_path / 'mine.yaml'} --dry-run" in out
    assert load_config(tmp_path / "mine.yaml").training.group == 8
    (tmp_path / "mine.yaml").write_text("mine")
    process = started("init", tmp_path / "mine.yaml")
    code, out, err = ended(process)
    assert (code, out) == (1, "")
    assert err == f"auditdm: {tmp_path / 'mine.yaml'} is there already; give another name, or remove it.\n"
    assert (tmp_path / "mine.yaml").read_text() == "mine"


def test_doctor_prints_a_line_for_each_thing(tmp_path):
    code, out, err = said("doctor")
    assert (code, err) == (0, "")
    assert "extras local: complete" in out
    code, out, _ = said("doctor", "acting_models:reference", "--json")
    assert (code, json.loads(out)["roles"]["target"]) == (0, "yes")


def test_list_tells_what_a_configuration_may_hold():
    code, out, err = said("list", "models", "--json")
    assert (code, err) == (0, "")
    tested = Counter(row["role"] for row in json.loads(out))
    assert len([row for row in json.loads(out) if row.get("grpo_auditor")]) >= 8
    assert (tested["model"], tested["endpoint"], tested["generator"], tested["editor"]) == (13, 5, 6, 6)
    code, out, _ = said("list", "pools")
    assert code == 0
    assert "webdataset  webdataset/shard-{000..099}.tar" in out.splitlines()
    code, out, err = ended(started("list", "moddels"))
    assert (code, out) == (1, "")
    assert err == (
        "auditdm: there is no list of 'moddels'. Known: models, endpoints, generators, editors, judges, pools.\n"
    )


def test_json_is_all_there_is_on_standard_output(audit_yaml, tmp_path):
    code, out, err = said("audit", audit_yaml(), "--run", tmp_path / "run", "--json")
    assert (code, err) == (0, "")
    page = str(tmp_path / "run" / "report" / "index.html")
    told = json.loads(out)
    assert (told["run"], told["report"], told["findings"]) == (str(tmp_path / "run"), page, [])
    assert told["stopped"].startswith("the pictures are used up")


def test_the_same_command_on_a_finished_run_changes_nothing(audit_yaml, tmp_path):
    words = ["audit", audit_yaml(), "--run", tmp_path / "run"]
    first = said(*words)
    before = {
        name: (tmp_path / "run" / name).read_bytes() for name in files_in(tmp_path / "run") if "report" not in name
    }
    assert said(*words)[:2] == first[:2]
    after = {name: (tmp_path / "run" / name).read_bytes() for name in before}
    assert after == before


# --- bad input: what, where, what is allowed, what to do; 1; nothing lost


def no_model(tmp_path):
    (tmp_path / "not-a-model").mkdir()
    (tmp_path / "not-a-model" / "notes.txt").write_text("nothing")
    return str(tmp_path / "not-a-model")


def deaf_model(tmp_path):
    from transformers import Qwen2Config

    from tiny_models import write_tiny_model

    write_tiny_model("llava", tmp_path / "text-only")
    Qwen2Config().save_pretrained(tmp_path / "text-only")
    return str(tmp_path / "text-only")


def empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    return str(tmp_path / "empty")


CONFIGURED_WRONG = [
    (
        lambda _: {"traget": "hf/x", "drop": ["target"]},
        [
            r"target is missing\. Add it; the model to audit",
            r"traget is not a key\. Did you mean 'target'\? Known here: ",
        ],
    ),
    (lambda _: {"training": {"stepz": 3}}, [r"training\.stepz is not a key\. Did you mean 'steps'\?"]),
    (
        lambda _: {"references": []},
        ["references is empty; an audit compares .* at least one other", "Add one under refer"],
    ),
    (
        lambda _: {"references": ["acting_models:target"]},
        [r"references\[0\] is 'acting_models:target', the same model as target", "Name another one"],
    ),
    (
        lambda tmp_path: {"images": str(tmp_path / "nowhere")},
        [r"images: .*nowhere does not exist\. Give a folder of pictures"],
    ),
    (lambda tmp_path: {"images": empty_folder(tmp_path)}, ["empty holds no pictures", "such as png or jpg"]),
    (
        lambda _: {"target": "acting_models:tarjet"},
        [r"model 'acting_models:tarjet': there is no 'tarjet' in acting_models\. Did you mean 'target'\?"],
    ),
    (lambda _: {"target": "hff/x/y"}, ["model 'hff/x/y': no kind and no folder has this name", "Known: hf/"]),
    (lambda _: {"prompts": "nowhere.yaml"}, ["prompts is 'nowhere.yaml', which cannot be read", "Give a YAML file"]),
]
LOADED_WRONG = [
    (
        lambda tmp_path: {"target": no_model(tmp_path)},
        [r"not-a-model: no config\.json in it, so this folder is no model"],
    ),
    (
        lambda tmp_path: {"target": deaf_model(tmp_path)},
        ["text-only: a 'qwen2' model takes no pictures", "Choose a vision-language model"],
    ),
]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [*CONFIGURED_WRONG, *[pytest.param(*case, marks=pytest.mark.tiny) for case in LOADED_WRONG]],
)
def test_bad_input_is_said_in_words(audit_yaml, tmp_path, changes, parts):
    code, out, err = said("audit", audit_yaml(**changes(tmp_path)), "--run", tmp_path / "run")
    assert (code, out) == (1, "")
    assert re.search(r"^auditdm: ", err, re.MULTILINE)
    assert "Traceback" not in err
    for part in parts:
        assert re.search(part, err), err
    assert not (tmp_path / "run" / "tables").exists()


def test_a_missing_yaml_and_a_missing_run_are_said_in_words(tmp_path):
    assert said("audit", tmp_path / "no.yaml") == (
        1,
        "",
        f"auditdm: {tmp_path / 'no.yaml'}: no such file. Give the path of a YAML file such as those in configs/.\n",
    )
    for verb in ("rectify", "report"):
        code, out, err = said(verb, tmp_path / "nowhere")
        assert (code, out) == (1, "")
        assert err.startswith(f"auditdm: {tmp_path / 'nowhere'}: no such folder, so not a run. Give the folder that")


def test_a_run_folder_of_another_configuration_is_refused_and_kept(audit_yaml, tmp_path):
    said("audit", audit_yaml(), "--run", tmp_path / "run")
    before = files_in(tmp_path / "run")
    code, out, err = said("audit", audit_yaml(seed=5), "--run", tmp_path / "run")
    assert (code, out) == (1, "")
    assert "belongs to another configuration. What differs:\n  seed: 0 in the folder, 5 now\nGive another folder" in err
    assert files_in(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("room", "kept"),
    [
        (1, "the configuration"),
        (9, "the configuration"),
        (13, "8 sources"),
        (16, r"8 sources, \d+ probes, \d+ answers"),
    ],
)
def test_a_full_disk_keeps_what_is_whole_and_the_same_command_goes_on(audit_yaml, tmp_path, monkeypatch, room, kept):
    replace, left = os.replace, [room]  # so many files are written

    def filling(*names):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(*names)

    words = ["audit", audit_yaml(), "--run", tmp_path / "cut"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", filling)
        code, out, err = said(*words)
    assert (code, out) == (1, "")
    assert re.search(r"auditdm: .*/cut: the disk is full .* while writing ", err)
    assert re.search(rf"Kept: {kept}\. Free some space and give the same command again: it resumes from there\.", err)
    assert said(*words)[0] == 0
    assert said("audit", audit_yaml(), "--run", tmp_path / "whole")[0] == 0
    cut, whole = Run.read(tmp_path / "cut"), Run.read(tmp_path / "whole")
    for table in ("sources", "proposals", "probes", "answers", "verdicts", "failure_modes"):
        assert cut.rows(table) == whole.rows(table), table


def test_a_missing_library_is_named_with_the_way_to_get_it(audit_yaml, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", None)
    code, out, err = said("audit", audit_yaml(training={"steps": 1}), "--run", tmp_path / "run")
    assert (code, out) == (1, "")
    assert (
        "auditdm: trl is not installed. Install it, in the checkout: pip install -e '.[local]' -c constraints.txt"
        in err
    )


# --- as a process


def test_one_damaged_picture_is_named_and_left_out_and_the_audit_goes_on(audit_yaml, tmp_path):
    (tmp_path / "photos" / "3.png").write_bytes((tmp_path / "photos" / "3.png").read_bytes()[:60])
    code, out, err = ended(started("audit", audit_yaml(), "--run", tmp_path / "run"))
    assert code == 0, err
    assert f"Run: {tmp_path / 'run'}\n" in out
    [line] = [line for line in err.splitlines() if "3.png" in line]
    assert line.startswith(f"{tmp_path / 'photos' / '3.png'}: left out: ")
    [skipped] = json.loads((tmp_path / "run" / "skipped_pictures.json").read_text())
    assert skipped["picture"] == "3.png"
    assert skipped["why"]
    assert len(Run.read(tmp_path / "run").rows("sources")) == 7
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["command"][1:] == [
        "audit",
        str(tmp_path / "audit.yaml"),
        "--run",
        str(tmp_path / "run"),
    ]


def test_a_second_process_is_refused_and_ctrl_c_stops_cleanly(audit_yaml, tmp_path):
    config, run = audit_yaml(), tmp_path / "my run"
    slow = started("audit", config, "--run", run, ACTING_PAUSE_S="1")
    while not (run / "stages.json").exists() and slow.poll() is None:
        time.sleep(0.02)
    code, out, err = said("audit", config, "--run", run)
    assert (code, out) == (1, "")
    assert re.search(rf"process {slow.pid} on \S+ is writing this run\. Wait until it ends, or stop it with", err)

    asked = time.monotonic()
    slow.send_signal(signal.SIGINT)
    code, out, err = ended(slow)
    assert (code, out) == (130, "")
    assert time.monotonic() - asked < 10
    assert "Stopped; what was done is kept. The same command goes on from there:" in err
    assert err.endswith(f"  auditdm audit {config} --run '{run}'\n")
    assert "Traceback" not in err
    code, _, err = said("audit", config, "--run", run)
    assert code == 0, err
    assert Run.read(run).finished


TWICE = """
import sys
from auditdm.cli import main
words = sys.argv[1:]
for verb in (["audit", words[0], "--run", words[1]], ["rectify", words[1], "--no-control"]):
    sys.argv = ["auditdm", *verb]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, end.code
"""


@pytest.mark.tiny
@pytest.mark.slow
def test_the_model_libraries_are_silent(tmp_path):
    told = {
        "images": {"path": "sandbox/5", "limit": 16},
        "auditor": "sandbox/auditor",
        "target": {"model": "sandbox/target-small", "max_new_tokens": 4},
        "references": [{"model": "sandbox/reference-1", "max_new_tokens": 4}],
        "generator": "sandbox",
        "editor": "sandbox",
        "prompts": "auditdm.sandbox:prompts.yaml",
        "training": {"steps": 2, "batch": 16, "group": 4, "checkpoint_every": 1},
        "discovery": {"probes": 48},
        "confirmation": {"budget": 200},
        "rectify": {"rows": 4, "replay": 0.0, "options": {"max_steps": 2}},
    }
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(told))
    run = tmp_path / "run"
    code, out, err = ended(started(tmp_path / "audit.yaml", run, code=TWICE))
    assert code == 0, err
    last = [f"Run: {run}", f"Report: {run / 'report' / 'index.html'}", f"audited: {run / 'models' / 'target-audited'}"]
    assert out.splitlines()[-3:] == last
    stages = (
        "pictures|training trained|discovery trained|discovery prompt_only|modes|confirmation|causes|practice|repair"
    )
    strange = [line for line in err.splitlines() if not re.match(rf" *({stages}): ", line)]
    assert not strange
    assert ESCAPE not in err


@pytest.mark.skipif(not shutil.which("script"), reason="no `script` to make a terminal with")
def test_a_terminal_gets_a_live_view_and_warnings_stay_readable(audit_yaml, tmp_path):
    (tmp_path / "photos" / "3.png").write_bytes(b"no picture")
    path = os.pathsep.join([str(HERE.parent / "src"), str(HERE)])
    call = f"{sys.executable} -m auditdm.cli audit {audit_yaml()} --run {tmp_path / 'run'}"
    done = subprocess.run(
        ["script", "-qec", call, "/dev/null"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "TERM": "xterm", "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stdout
    assert ESCAPE in done.stdout
    assert "3.png: left out:" in done.stdout
    assert f"Run: {tmp_path / 'run'}" in done.stdout
