import errno
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from auditdm.environment import environment
from auditdm.errors import StoreError
from auditdm.store import TABLES, Run
from auditdm.types import picture_id

CONFIG = {"seed": 0, "target": {"model": "hf/t"}, "references": ["hf/r"], "run": "somewhere"}
PAGE = Path(__file__).parents[1] / "docs" / "run-folder.md"


def opened(path, config=CONFIG):
    return Run.open(path, config, {"python": "3"})


def sources(*numbers):
    return [{"id": f"s{number:04d}", "origin": f"{number}.png", "question": None} for number in numbers]


def files_in(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())


def in_another_process(code, path, *more):
    return subprocess.run(
        [sys.executable, "-c", code, str(path), *more], capture_output=True, text=True, timeout=60, check=False
    )


# --- rows


def test_rows_come_back_in_order_and_once(tmp_path):
    with opened(tmp_path / "run") as run:
        run.append("sources", sources(3, 1, 3))
        run.append("sources", sources(1, 2))
        run.append("sources", sources(1, 2))
        run.append("sources", [])
        assert run.rows("sources") == sources(3, 1, 2)
        assert run.ids("sources") == {"s0001", "s0002", "s0003"}
        parts = sorted((tmp_path / "run" / "tables" / "sources").iterdir())
        assert [re.fullmatch(r"part-(\d{6})-[0-9a-f]{16}\.parquet", part.name)[1] for part in parts] == [
            "000000",
            "000001",
        ]
    reader = Run.read(tmp_path / "run")
    assert reader.rows("sources") == sources(3, 1, 2)
    assert reader.ids("sources") == {"s0001", "s0002", "s0003"}
    assert reader.rows("probes") == []
    assert reader.ids("probes") == set()


def test_ids_is_a_copy(tmp_path):
    with opened(tmp_path) as run:
        run.ids("sources").add("s0001")
        run.append("sources", sources(1))
        assert len(run.rows("sources")) == 1


VALUES = {
    "string": st.text(),
    "bool": st.booleans(),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False),
    "list<item: string>": st.lists(st.text()),
}


@st.composite
def table_and_rows(draw):
    table = draw(st.sampled_from(sorted(TABLES)))
    columns = {c.name: st.none() | VALUES[str(c.type)] for c in TABLES[table]} | {"id": st.text(min_size=1)}
    return table, draw(st.lists(st.fixed_dictionaries(columns), max_size=6, unique_by=lambda row: row["id"]))


@settings(max_examples=60, deadline=None)
@given(table_and_rows(), st.integers(0, 6))
def test_rows_survive_parquet_with_null_still_null(case, cut):
    table, rows = case
    with tempfile.TemporaryDirectory() as folder:
        with opened(Path(folder) / "run") as run:
            run.append(table, rows[:cut])
            run.append(table, rows)  # what a resumed stage does
        assert Run.read(Path(folder) / "run").rows(table) == rows


def test_a_missing_key_is_null(tmp_path):
    with opened(tmp_path) as run:
        run.append("scores", [{"id": "a", "hits": 0}])
        assert run.rows("scores") == [dict.fromkeys(TABLES["scores"].names) | {"id": "a", "hits": 0}]


@pytest.mark.parametrize(
    ("table", "row", "part"),
    [
        ("sources", {"id": "a", "orgin": "x"}, "sources has no column 'orgin'; it has id, origin, question"),
        ("sources", {"origin": "x"}, "a row of sources needs an id"),
        ("sources", {"id": ""}, "needs an id"),
        ("rewards", {"id": "a", "reward": math.nan}, "rewards.reward of row a is NaN; what was not measured is None"),
        ("answers", {"id": "a", "wording": "first"}, "answers.wording holds int64"),
        ("answers", {"id": "a", "text": "\ud800"}, "answers.text holds string"),
        ("scores", {"id": "a", "hits": 0.5}, "scores.hits holds int64"),
    ],
)
def test_a_row_that_does_not_fit_is_a_wrong_call_and_leaves_nothing(tmp_path, table, row, part):
    with opened(tmp_path) as run:
        before = files_in(tmp_path)
        with pytest.raises(ValueError, match=re.escape(part)):
            run.append(table, [{"id": "good"}, row])
        assert files_in(tmp_path) == before
        assert run.ids(table) == set()


def test_an_unknown_table_lists_the_known_ones(tmp_path):
    with opened(tmp_path) as run, pytest.raises(StoreError, match=r"no table 'prbes'\. All tables: sources, proposals"):
        run.append("prbes", [])


def test_a_reader_writes_nothing(tmp_path):
    opened(tmp_path).close()
    with pytest.raises(StoreError, match="opened for reading"):
        Run.read(tmp_path).append("sources", sources(1))
    with pytest.raises(StoreError, match="opened for reading"):
        Run.read(tmp_path).finish()


def test_a_damaged_part_is_named(tmp_path):
    with opened(tmp_path) as run:
        run.append("sources", sources(1))
        part = next((tmp_path / "tables" / "sources").iterdir())
        part.write_bytes(b"PAR1")
        with pytest.raises(StoreError, match=re.escape(f"{part}: damaged")):
            run.rows("sources")


# --- queries


def test_sql_sees_the_tables_that_have_rows(tmp_path):
    with opened(tmp_path) as run:
        run.append("sources", sources(1, 2))
        run.append("sources", sources(3))
        run.append("failure_modes", [{"id": "m", "probe_ids": ["p", "q"], "measured": 4}])
        assert run.sql("SELECT count(*) AS n, count(question) AS asked FROM sources") == [{"n": 3, "asked": 0}]
        assert run.sql("SELECT probe_ids, len(probe_ids) AS n FROM failure_modes") == [
            {"probe_ids": ["p", "q"], "n": 2}
        ]
        assert run.sql("SELECT id FROM sources WHERE origin = '2.png'") == [{"id": "s0002"}]


@pytest.mark.parametrize(
    ("query", "part"),
    [
        (
            "SELECT * FROM verdicts",
            "table verdicts has no rows yet; the step that writes it has not run. With rows: sources.",
        ),
        ("SELECT * FROM verdict", "there is no table verdict. With rows: sources. All tables: sources, proposals"),
        ("SELEC 1", "could not be answered"),
        ("SELECT nope FROM sources", "could not be answered"),
        ("COPY sources TO 'stolen.csv'", "could not be answered"),
        ("SELECT * FROM read_text('/etc/hostname')", "could not be answered"),
        ("SET enable_external_access = true", "could not be answered"),
        ("SELECT * FROM query", "there is no table query"),  # not the variable of that name in our own code
    ],
)
def test_sql_explains_itself_and_reaches_nothing_outside(tmp_path, monkeypatch, query, part):
    monkeypatch.chdir(tmp_path)
    with opened(tmp_path / "run") as run:
        run.append("sources", sources(1))
        with pytest.raises(StoreError, match=re.escape(part)):
            run.sql(query)
    assert not (tmp_path / "stolen.csv").exists()


def test_sql_of_an_empty_run(tmp_path):
    with opened(tmp_path) as run, pytest.raises(StoreError, match=r"probes has no rows yet.*With rows: none yet"):
        run.sql("SELECT * FROM probes")


# --- pictures and files


def test_a_picture_is_kept_once_under_its_content(tmp_path):
    image = Image.new("RGB", (5, 3), "red")
    with opened(tmp_path) as run:
        name = run.save_picture(image)
        assert name == picture_id(image) == run.save_picture(image.copy())
        assert [p for p in files_in(tmp_path) if p.startswith("pictures")] == [f"pictures/{name[:2]}/{name}.png"]
        assert picture_id(run.picture(name)) == name
        assert run.picture(name).mode == "RGB"


def test_pictures_that_are_absent_damaged_or_no_pictures(tmp_path):
    with opened(tmp_path) as run:
        name = run.save_picture(Image.new("RGB", (5, 3), "red"))
        run.picture_path(name).write_bytes(b"\x89PNG\r\n\x1a\n")
        with pytest.raises(StoreError, match="damaged"):
            run.picture(name)
        with pytest.raises(StoreError, match="no picture 0000000000000000"):
            run.picture("0" * 16)
        with pytest.raises(StoreError, match="is not a picture id"):
            run.picture("../../../etc/hosts")


def test_json_is_replaced_whole(tmp_path):
    with opened(tmp_path) as run:
        run.write_json("summary.json", {"validity": None})
        run.write_json("summary.json", {"validity": 1.0})
        with pytest.raises(ValueError, match="not JSON compliant"):
            run.write_json("summary.json", {"validity": math.nan})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"validity": 1.0}


def test_done_is_last_and_gives_way_to_new_rows(tmp_path):
    with opened(tmp_path) as run:
        run.append("sources", sources(1, 2))
        assert not run.finished
        run.finish()
        assert json.loads((tmp_path / "DONE").read_text()) == {"rows": {"sources": 2}}
    with opened(tmp_path) as run:
        run.append("sources", sources(1))
        assert run.finished  # nothing was added
        run.append("sources", sources(3))
        assert not run.finished


# --- opening


def test_configuration_and_environment_are_there_before_anything_else(tmp_path):
    with opened(tmp_path / "deep" / "run") as run:
        assert files_in(run.path) == ["LOCK", "config.yaml", "environment.json"]
        assert yaml.safe_load((run.path / "config.yaml").read_text()) == CONFIG == run.config


def test_a_resumed_run_keeps_both_environments(tmp_path):
    opened(tmp_path).close()
    opened(tmp_path).close()
    Run.open(tmp_path, CONFIG, {"python": "4"}).close()
    kept = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("environment*.json"))]
    assert sorted(found["python"] for found in kept) == ["3", "4"]
    assert json.loads((tmp_path / "environment.json").read_text()) == {"python": "3"}


def test_tuples_and_lists_are_the_same_configuration_and_the_folder_may_move(tmp_path):
    opened(tmp_path / "a", CONFIG | {"references": ("hf/r",)}).close()
    (tmp_path / "a").rename(tmp_path / "b")
    opened(tmp_path / "b", CONFIG | {"run": "elsewhere"}).close()


def test_a_mended_configuration_takes_over_a_folder_in_which_nothing_was_made(tmp_path):
    opened(tmp_path).close()
    with opened(tmp_path, CONFIG | {"seed": 5}) as run:
        assert run.config["seed"] == 5


def test_another_configuration_is_refused_key_by_key(tmp_path):
    with opened(tmp_path) as run:
        run.append("sources", [{"id": "a"}])
    other = {"seed": 1, "target": {"model": "hf/t", "batch": 8}, "references": ["hf/r", "hf/s"], "run": "x"}
    with pytest.raises(StoreError) as caught:
        opened(tmp_path, other)
    assert str(caught.value).splitlines() == [
        f"{tmp_path}: belongs to another configuration. What differs:",
        "  seed: 0 in the folder, 1 now",
        "  target.batch: (absent) in the folder, 8 now",
        '  references[1]: (absent) in the folder, "hf/s" now',
        "Give another folder for the new configuration, or put the old values back to resume.",
    ]
    opened(tmp_path).close()  # the refusal has given the lock back


def test_keys_that_only_one_side_knows_may_be_of_another_version(tmp_path):
    with opened(tmp_path) as run:
        run.append("sources", [{"id": "a"}])
    with pytest.raises(StoreError, match=r"smallest: \(absent\) in the folder, 1 now\n.*another version of AuditDM"):
        opened(tmp_path, CONFIG | {"smallest": 1})


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match=r"holds thesis\.tex and no config\.yaml"):
        opened(tmp_path)
    assert files_in(tmp_path) == ["thesis.tex"]
    with pytest.raises(StoreError, match="cannot be made a run folder"):
        opened(tmp_path / "thesis.tex")
    with pytest.raises(StoreError, match=r"a folder without config\.yaml, so not a run"):
        Run.read(tmp_path)
    with pytest.raises(StoreError, match="no such folder, so not a run"):
        Run.read(tmp_path / "nowhere")


# --- a second process, a killed one, a full disk

HOLD = """
import sys, time
from auditdm.store import Run
run = Run.open(sys.argv[1], {"seed": 0}, {})
print("open", flush=True)
time.sleep(60)
"""


def test_a_second_process_is_refused_and_kill_frees_the_folder(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "open\n"
            with pytest.raises(
                StoreError, match=rf"process {holder.pid} on .* is writing this run\. Wait .*kill {holder.pid}"
            ):
                opened(tmp_path, {"seed": 0})
            assert Run.read(tmp_path).rows("sources") == []  # reading works meanwhile
        finally:
            holder.send_signal(signal.SIGKILL)
    with opened(tmp_path, {"seed": 0}):
        assert (tmp_path / "LOCK").read_text().split()[0] == str(os.getpid())
    assert (tmp_path / "LOCK").read_text() == ""


APPEND = """
import sys
from PIL import Image
from auditdm.store import Run
with Run.open(sys.argv[1], {"seed": 0}, {}) as run:
    print("open", flush=True)
    for step in range(40):
        picture = run.save_picture(Image.new("RGB", (32, 32), (step, 0, 0)))
        run.append("probes", [{"id": f"{step}-{n}", "picture_id": picture, "question": "q"} for n in range(3)])
    run.finish()
"""


def test_kill_9_in_the_middle_and_the_same_command_again_gives_the_same_tables(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert in_another_process(APPEND, whole).returncode == 0
    for wait_for in (1, 9, 23):  # parts on the disk when the process is killed
        with subprocess.Popen([sys.executable, "-c", APPEND, str(cut)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "open\n"
            while len(list(cut.glob("tables/probes/part-*"))) < wait_for and writer.poll() is None:
                time.sleep(0.002)
            writer.send_signal(signal.SIGKILL)
        for part in cut.glob("tables/probes/part-*"):
            pq.read_table(part)  # whole
    leftover = cut / "tables" / "probes" / ".part-000099-x.parquet.tmp"
    leftover.write_bytes(b"half")
    assert in_another_process(APPEND, cut).returncode == 0
    assert not leftover.exists()
    before, after = Run.read(whole), Run.read(cut)
    assert after.finished
    assert after.rows("probes") == before.rows("probes")
    assert [p for p in files_in(cut) if p.startswith("pictures")] == [
        p for p in files_in(whole) if p.startswith("pictures")
    ]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_what_is_whole_and_says_how_to_resume(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with opened(tmp_path) as run:
        run.append("sources", sources(1, 2))
        before = files_in(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            for write in (
                lambda: run.append("sources", sources(3)),
                lambda: run.save_picture(Image.new("RGB", (2, 2))),
                lambda: run.write_json("summary.json", {}),
            ):
                with pytest.raises(StoreError, match="the disk is full") as caught:
                    write()
                assert "Kept: 2 sources. Free some space and give the same command again" in str(caught.value)
        assert files_in(tmp_path) == before
        run.append("sources", sources(3))
        assert run.rows("sources") == sources(1, 2, 3)


FILL = """
import resource, sys
from auditdm.errors import StoreError
from auditdm.store import Run
with Run.open(sys.argv[1], {"seed": 0}, {}) as run:
    run.append("sources", [{"id": "small"}])
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        run.append("sources", [{"id": str(n), "origin": f"{n * 7919 % 9973}"} for n in range(9000)])
    except StoreError as problem:
        print(problem)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="the system has no limit on file sizes")
def test_a_write_that_the_system_cuts_short_leaves_no_part(tmp_path):
    done = in_another_process(FILL, tmp_path)
    assert "the disk is full (File too large) while writing 9000 rows of sources" in done.stdout, done.stderr
    assert [row["id"] for row in Run.read(tmp_path).rows("sources")] == ["small"]
    assert not [name for name in files_in(tmp_path) if name.endswith(".tmp")]


def test_another_refusal_of_the_disk_is_passed_on(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(tmp_path) as run:
        monkeypatch.setattr(os, "replace", refuse)
        with pytest.raises(StoreError, match=r"the disk refused .*while writing summary\.json; nothing of it was kept"):
            run.write_json("summary.json", {})


# --- the page and the machine


def test_the_page_and_the_schema_agree():
    found: dict[str, dict[str, str]] = {}
    for line in PAGE.read_text(encoding="utf-8").partition("\n## Tables\n")[2].splitlines():
        if line.startswith("### "):
            columns = found.setdefault(line[4:].strip(), {})
        elif line.startswith("| ") and not line.startswith("| column "):
            name, kind, meaning = (cell.strip() for cell in line.strip("|").split("|"))
            assert meaning, f"{name} has no meaning"
            columns[name] = kind
    assert found == {table: {c.name: str(c.type) for c in schema} for table, schema in TABLES.items()}


def test_the_environment_is_json_and_names_the_machine():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["packages"]["pyarrow"]
    assert found["cpu"]["name"]
    assert found["cpu"]["cores"] >= 1
