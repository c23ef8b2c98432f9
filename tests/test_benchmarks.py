import doctest
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auditdm.backends import paligemma_boxes
from auditdm.errors import ConfigError, ModelError
from auditdm.runs import benchmark_asking, benchmark_scores, benchmarks
from auditdm.runs.benchmark_scores import Score, Unit, combined, difference
from auditdm.runs.benchmarks import Benchmark, Row, paper_benchmarks, run_benchmarks
from auditdm.store import Run
from benchmark_rows import ROWS, save_rows

TASKS = Path(__file__).parent / "lmms_tasks"
PAIRED = ["vqav2", "coco-captions", "mmbench-v1.0", "mme", "mmstar", "shapes"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of rows, where lmms-eval is there to read them."""
    pytest.importorskip("lmms_eval", reason="lmms-eval is not installed (extra eval)")
    return save_rows(tmp_path_factory.mktemp("rows"), list(ROWS), parquet=["pope", "shapes"])


def told(folder: Path, name: str, replies: Mapping[str, str | None], model_type: str = "") -> dict[str, Any]:
    """The spec of a model that says these replies."""
    (folder / f"{name}.json").write_text(json.dumps(replies), "utf-8")
    options = {"replies": str(folder / f"{name}.json"), "heard": str(folder / name), "model_type": model_type}
    return {"model": "benchmark_models:Told", "options": options}


def heard(folder: Path, name: str) -> list[str]:
    return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


# --- before and after, on real tasks of lmms-eval and one of our own

BEFORE = {
    "vqav2 0": "Two.", "vqav2 1": None, "vqav2 2": "3", "vqav2 3": "",  # .6, a hole, 1, 0
    "mme count 0": "Yes",  # one of the pair is right
    "mme count 1 Yes": "yes", "mme count 1 No": "no", "mme OCR 2 Yes": "yes", "mme OCR 2 No": "no",
    "mme OCR 3 Yes": "yes", "mme OCR 3 No": None,  # half a pair is none
    "mmstar 0": "C", "mmstar 1": "A", "mmstar 2": "The answer is C", "mmstar 3": "D",
    "mmbench one": "A", "mmbench turned one": "B", "mmbench two": "A", "mmbench turned two": "A",
    "[100]": "a red cat sleeps on a mat", "[101]": None, "[102]": "nothing", "[103]": "a train at the station",
    "shapes 0": "red\nand round", "shapes 1": "blue", "shapes 2": None,
}  # fmt: skip
AFTER = {
    "vqav2 2": None, "vqav2": "3",
    "mme": "yes", "mmstar": "C", "mmbench one": "A", "mmbench two": "A", "mmbench turned": "B",
    "[100]": "a red cat sleeps on a mat", "[101]": "dogs are running", "[102]": "a bowl of soup",
    "[103]": "a train at the station", "shapes": "red",
}  # fmt: skip
AFTER = {f"mme {one} No": "no" for one in ("count 0", "count 1", "OCR 2", "OCR 3", "code_reasoning 4")} | AFTER


@pytest.fixture(scope="module")
def paired(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Row]]:
    """Two models; the second gives up in the middle at first, and the same call goes on."""
    folder = tmp_path_factory.mktemp("paired")
    stopped = {"give up": "mmbench", **AFTER}
    models = {"before": told(folder, "before", BEFORE), "after": told(folder, "after", stopped)}
    events: list[tuple[str, str]] = []

    def tell(_event: str, values: Mapping[str, Any]) -> None:
        events.append((values["model"], values["benchmark"]))

    asked = {"rows": rows, "tasks": TASKS, "tell": tell}
    with pytest.raises(ModelError, match="told to give up"):
        run_benchmarks(models, PAIRED, folder / "run", **asked)
    assert events == [("before", name) for name in PAIRED] + [("after", name) for name in PAIRED[:2]]
    before = heard(folder, "before")
    told(folder, "after", AFTER)
    table = run_benchmarks(models, PAIRED, folder / "run", **asked)
    assert events[8:] == [("after", name) for name in PAIRED[2:]]
    assert heard(folder, "before") == before, "what stands in the run folder is not asked again"
    assert [row.benchmark.name for row in table] == PAIRED
    return folder, {row.benchmark.name: row for row in table}


@pytest.mark.tiny
@pytest.mark.parametrize(
    ("name", "values", "scored", "asked"),
    [
        ("vqav2", ((60 + 100 + 0) / 3, 100.0), (3, 3), 4),
        ("mmbench-v1.0", (50.0, 100.0), (2, 2), 2),
        ("mme", ((50 + 200) / 2 + 200, 400.0), (3, 4), 4),
        ("mmstar", ((200 / 3 + 0) / 2, 100.0), (4, 4), 4),
        ("shapes", (0.5, 1.0), (2, 3), 3),
    ],
)
def test_a_benchmark_counts_what_was_measured_and_no_hole(
    paired: tuple[Path, dict[str, Row]], name: str, values: tuple[float, float], scored: tuple[int, int], asked: int
):
    scores = list(paired[1][name].scores.values())
    assert [score.value for score in scores] == pytest.approx(list(values), abs=1e-3)
    assert tuple(score.scored for score in scores) == scored
    assert [len(score.units) for score in scores] == [asked, asked]
    assert scores[0].void == ({} if scored[0] == asked else {"told to be mute": asked - scored[0]})


@pytest.mark.tiny
def test_differences_are_counted_on_what_both_were_measured_on(paired: tuple[Path, dict[str, Row]]):
    found = {name: row.differences["after"] for name, row in paired[1].items()}
    # vqav2 0 and 3: 60 and 0 before, 100 and 100 after. t(1) = 12.706, standard error of 40 and 100: 30
    assert (found["vqav2"].first, found["vqav2"].second) == pytest.approx((30, 100))
    assert (found["vqav2"].pairs, found["vqav2"].void) == (2, 2)
    assert found["vqav2"].interval == pytest.approx((70 - 381.186, 70 + 381.186), abs=0.01)
    assert (found["mme"].first, found["mme"].second, found["mme"].pairs, found["mme"].void) == (325, 400, 3, 1)
    assert found["mme"].interval is None
    assert found["mme"].remark == "a part with a single unit does not tell how units vary"
    assert found["mmbench-v1.0"].value == 50
    low, high = found["mmbench-v1.0"].interval or (0, 0)
    assert -100 <= low < 0 < 50 < high <= 100  # adjusted Wald: one of two gained
    assert found["shapes"].value == 0.5
    assert {*paired[1]["vqav2"].differences} == {"after"}


@pytest.mark.tiny
def test_captions_are_scored_without_java_and_a_hole_takes_its_picture_along(paired: tuple[Path, dict[str, Row]]):
    row = paired[1]["coco-captions"]
    before, after = row.scores["before"], row.scores["after"]
    assert (before.scored, len(before.units), before.void) == (3, 4, {"told to be mute": 1})
    assert after.value is not None
    assert before.value is not None
    assert 0 < before.value < after.value <= 1000
    common = row.differences["after"]
    assert (common.pairs, common.void) == (3, 1)
    assert common.first == pytest.approx(before.value)  # the same three pictures
    assert common.second != pytest.approx(after.value)  # rarity is measured over three pictures now, not four
    assert (common.second or 0) > (common.first or 0)


@pytest.mark.tiny
def test_the_run_folder_has_every_answer_and_says_what_a_number_is(paired: tuple[Path, dict[str, Row]]):
    run = Run.read(paired[0] / "run")
    assert run.config["benchmarks"] == PAIRED
    table = {row["benchmark"]: row for row in json.loads((run.path / "benchmarks.json").read_text("utf-8"))}
    assert table["mmbench-v1.0"]["same"] is False
    assert "paper" not in table["mmbench-v1.0"]
    assert "1.1" in table["mmbench-v1.0"]["trap"]
    assert table["vqav2"]["paper"]["PaliGemma2-3B"] == 84.8
    assert table["vqav2"]["scores"]["before"]["scored"] == 3
    assert table["vqav2"]["differences"]["after"]["pairs"] == 2
    [kept] = [
        found
        for path in (run.path / "benchmarks").glob("vqav2-*.json")
        if (found := json.loads(path.read_text("utf-8")))["answers"][1]["problem"]
    ]
    assert [answer["text"] for answer in kept["answers"]] == ["Two.", None, "3", ""]
    assert [unit["score"] for unit in kept["units"]] == [pytest.approx(60), None, pytest.approx(100), 0]


@pytest.mark.tiny
def test_a_reply_ends_where_the_task_wants_it_to(paired: tuple[Path, dict[str, Row]]):
    assert paired[1]["shapes"].scores["before"].units[0].score == 1.0  # "red", without what follows


# --- the other tasks of the sixteen, asked of a PaliGemma

PALIGEMMA = {
    "gqa": "left",
    "okvqa": "surfing",
    "ai2d 0": "leaf", "ai2d 1": "Leaf", "ai2d 2": "B", "ai2d 3": "stem",  # words, no letters
    "docvqa 0": "Hello", "docvqa 1": "helo", "docvqa 2": "x", "docvqa 3": None,
    "chartqa 0": "104", "chartqa 1": "106", "chartqa 2": "100%", "chartqa 3": "100",
    "refcoco 0": "<loc0205><loc0102><loc0614><loc0614>", "refcoco 1": "no box",
    "refcoco 2": None, "refcoco 3": "<loc0102><loc0205><loc1023><loc1023>",  # the last: left and top taken for one another
    "mmt 0": "B", "mmt 1": "B", "mmt 2": "A", "mmt 3": None,
    "seed 0": "B", "seed 1": "b", "seed 2": "The answer is B", "seed 3": "A",  # the third is a T
    "mmmu 0": "A", "mmmu 1": "B", "mmmu 2": "12",
    "realworldqa 0": "B", "realworldqa 1": "The answer is B.", "realworldqa 2": "C", "realworldqa 3": "downhill.",
    "pope 0": "yes", "pope 1": "Yes", "pope 2": "Yes.", "pope 3": "no",  # the third is no bare word
}  # fmt: skip
REACHED = {  # value, scored, asked
    "gqa": (100.0, 4, 4), "okvqa": (100.0, 4, 4), "ai2d": (50.0, 4, 4), "docvqa": (60.0, 3, 4), "chartqa": (50.0, 4, 4),
    "chartqa-human": (50.0, 2, 2),
    "refcoco-box": (100 / 3, 3, 4), "mmt-bench": (200 / 3, 3, 4), "seed-bench-image": (50.0, 4, 4),
    "mmmu": (200 / 3, 3, 4), "realworldqa": (75.0, 4, 4), "pope": (50.0, 4, 4),
}  # fmt: skip


@pytest.fixture(scope="module")
def others(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Score]]:
    folder = tmp_path_factory.mktemp("others")
    spec = told(folder, "paligemma", PALIGEMMA, "paligemma")
    table = run_benchmarks({"it": spec}, list(REACHED), folder / "run", rows=rows)
    return folder, {row.benchmark.name: row.scores["it"] for row in table}


@pytest.mark.tiny
@pytest.mark.parametrize("name", REACHED)
def test_a_task_of_lmms_eval_gives_the_number_counted_by_hand(others: tuple[Path, dict[str, Score]], name: str):
    score = others[1][name]
    value, scored, asked = REACHED[name]
    assert score.value == pytest.approx(value, abs=1e-3)
    assert (score.scored, len(score.units)) == (scored, asked)


@pytest.mark.tiny
def test_a_question_with_two_pictures_is_void_and_one_on_a_video_left_out(others: tuple[Path, dict[str, Score]]):
    assert others[1]["mmmu"].void == {"shows 2 pictures; a model is asked with one": 1}
    assert others[1]["seed-bench-image"].void == {}
    assert not any("seed 4" in text for text in heard(others[0], "paligemma"))


@pytest.mark.tiny
def test_paligemma_is_asked_in_its_own_words(others: tuple[Path, dict[str, Score]]):
    asked = heard(others[0], "paligemma")
    assert {"answer en gqa 0 ?", "answer en okvqa 3 ?", "docvqa 0 ?", "chartqa 1 ?", "detect refcoco 2 thing"} <= {
        *asked
    }
    assert "answer en ai2d 0 ? choose from: root \t leaf \t stem" in asked
    assert not any("<image>" in text for text in asked)


# --- counting, without lmms-eval


def score(values: Mapping[str, float | None], combine: Any = "mean", value: float | None = None, **more: Any) -> Score:
    units = tuple(
        Unit(id=name, score=of, part=name[0], problem="mute" if of is None else None) for name, of in values.items()
    )
    measured = [unit for unit in units if unit.problem is None]
    made = combined(measured, combine, 100) if value is None else value
    return Score(model="m", benchmark="b", combine=combine, full=100, units=units, value=made, **more)


def test_the_examples_in_the_docstrings_hold():
    for module in (benchmarks, benchmark_scores, benchmark_asking, paligemma_boxes):
        assert doctest.testmod(module).failed == 0


def test_parts_are_meant_or_summed():
    units = [Unit(id=str(n), score=float(v), part=p) for n, (v, p) in enumerate([(100, "x"), (0, "x"), (60, "y")])]
    assert combined(units, "mean") == pytest.approx(160 / 3)
    assert combined(units, "mean of parts") == 55
    assert combined(units, "sum of parts") == 110
    assert combined([], "mean") is None


def test_nothing_measured_is_no_number():
    nothing = score({"a": None, "b": None})
    assert (nothing.value, nothing.scored, nothing.void) == (None, 0, {"mute": 2})
    found = difference(nothing, score({"a": 100, "b": 0}))
    assert (found.value, found.pairs, found.void, found.interval) == (None, 0, 2, None)
    assert found.remark == "no unit was measured for both"


def test_right_and_wrong_get_the_interval_of_paired_proportions():
    before = score({f"a{n}": 100.0 if n < 4 else 0.0 for n in range(10)})
    after = score({f"a{n}": 100.0 if n < 8 else 0.0 for n in range(10)})
    # four gained, none lost of ten; one is added to each: 5/12 - 1/12 = 1/3, sqrt((1/2 - 1/9) / 12) = .18002
    assert difference(before, after).interval == pytest.approx((100 / 3 - 35.283, 100 / 3 + 35.283), abs=0.01)


def test_two_models_that_are_all_wrong_still_have_an_interval_on_the_papers_scale():
    low, high = difference(score(dict.fromkeys("abcd", 0.0)), score(dict.fromkeys("abcd", 0.0))).interval or (0, 0)
    assert low < -10
    assert high > 10


def test_graded_parts_get_a_t_interval_over_their_parts():
    before = score({"x1": 10.0, "x2": 20.0, "y1": 0.0, "y2": 0.0}, "sum of parts")
    after = score({"x1": 20.0, "x2": 50.0, "y1": 10.0, "y2": 20.0}, "sum of parts")
    # differences 10 and 30, 10 and 20: means 20 + 15; variances 200 / 2 + 50 / 2 = 125; t(2) = 4.3027
    found = difference(before, after)
    assert found.value == 35
    assert found.interval == pytest.approx((35 - 48.105, 35 + 48.105), abs=0.01)


def test_units_that_differ_equally_have_no_interval_and_say_so():
    found = difference(score({"a": 10.0, "b": 20.0}), score({"a": 15.0, "b": 25.0}))
    assert found.interval is None
    assert found.remark == "all units differ equally, so they do not tell how units vary"


def test_a_number_that_is_not_made_of_its_units_gets_no_interval_from_them():
    found = difference(score({"a": 0.0, "b": 100.0}, value=66.7), score({"a": 100.0, "b": 100.0}))
    assert found.interval is None
    assert found.remark == (
        "b counts 66.7000, and the mean of its units is 50.0000: a difference of the one has no interval from the other"
    )


def test_scores_of_two_benchmarks_are_not_compared():
    other = Score(model="m", benchmark="c", combine="mean", full=100, units=(), value=None)
    with pytest.raises(ValueError, match="only scores of one benchmark"):
        difference(score({"a": 1.0}), other)


def test_a_table_in_words_says_what_a_number_is_of():
    before, after = score({"a": 100.0, "b": None, "c": 0.0}), score({"a": 100.0, "b": 0.0, "c": 100.0})
    row = Row(
        benchmark=paper_benchmarks()["mmbench-v1.0"],
        scores={"before": before, "after": after, "mute": score({"a": None})},
        differences={"after": difference(before, after), "mute": difference(before, score({"a": None}))},
    )
    first, *lines = benchmarks.in_words([row]).splitlines()
    assert first.startswith("mmbench-v1.0  is not the paper's MMBench-v1.1: lmms-eval has the questions of version 1.0")
    low, high = row.differences["after"].interval or (0, 0)
    assert lines == [
        "mmbench-v1.0  before: 50.0, scored 2 of 3",
        f"mmbench-v1.0  after: 66.7, scored 3 of 3; +50.0 on the same 2, 95% {low:+.1f} to {high:+.1f}",
        "mmbench-v1.0  mute: nothing measured, scored 0 of 1",
    ]


def test_half_a_pair_is_void_and_a_whole_one_is_counted_at_once():
    mme = paper_benchmarks()["mme"]
    said = [("1", "yes", None), ("1", "no", None), ("2", "yes", None), ("3", "yes", None), ("3", None, "mute")]
    scored: list[Any] = [
        SimpleNamespace(doc_id=n, text=text, problem=problem, scored={"question_id": name, "category": "OCR"})
        for n, (name, text, problem) in enumerate(said)
    ]
    units = [
        benchmark_asking._unit(mme, name, of, lambda all_of: 100.0 * len(all_of))
        for name, of in benchmark_asking._together(mme, scored).items()
    ]
    assert [(unit.id, unit.score, unit.problem) for unit in units] == [
        ("OCR/1", 200.0, None),
        ("OCR/2", None, "not all of its questions were asked"),
        ("OCR/3", None, "mute"),
    ]


# --- the list


def test_the_sixteen_are_there_and_what_differs_is_not_called_by_the_papers_name():
    known = paper_benchmarks()
    assert len(known) == 17  # and ChartQA's human half
    assert len({one.of for one in known.values()}) == 16
    assert [name for name, one in known.items() if not one.same] == ["refcoco-box", "mmbench-v1.0"]
    for name, one in known.items():
        assert one.trap, name
        assert bool(one.paper) == one.same, name
        assert one.as_dict()["trap"] == one.trap


def test_each_of_the_sixteen_is_really_asked_above():
    assert {*ROWS} - {"shapes"} == {*paper_benchmarks()} == {*PAIRED, *REACHED} - {"shapes"}


# --- mistakes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": 0}, "limit is 0; it must be at least 1"),
        ({"benchmarks": []}, "benchmarks are none; name at least one"),
        ({"benchmarks": ["pope", "pope"]}, "benchmarks are pope, pope; name at least one, and each once"),
        ({"benchmarks": ["pop"]}, "there is no folder 'pop' with the rows of that benchmark. Did you mean 'pope'?"),
    ],
)
def test_mistakes_are_said_before_a_model_is_loaded(tmp_path: Path, change: dict[str, Any], message: str):
    (tmp_path / "rows" / "pope").mkdir(parents=True)
    given: dict[str, Any] = {"benchmarks": ["pope"], "limit": None} | change
    with pytest.raises(ConfigError) as caught:
        run_benchmarks(
            {"it": "no/such"}, given["benchmarks"], tmp_path / "run", rows=tmp_path / "rows", limit=given["limit"]
        )
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_without_lmms_eval_the_message_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "lmms_eval", None)
    with pytest.raises(
        ConfigError,
        match=r"lmms-eval is not installed.*pip install -e .*eval.* -c constraints.txt && pip install --no-deps lmms-eval",
    ):
        run_benchmarks({"it": "sandbox/target-small"}, ["pope"], tmp_path / "run")


@pytest.mark.tiny
@pytest.mark.parametrize(
    ("spec", "message"), [("hf-x/none", "no kind and no folder has this name"), ("benchmark_models:Tolt", "'Told'")]
)
def test_an_error_in_the_other_process_arrives_as_it_was(tmp_path: Path, spec: str, message: str):
    pytest.importorskip("lmms_eval", reason="lmms-eval is not installed (extra eval)")
    with pytest.raises(ConfigError, match=message):
        run_benchmarks({"it": spec}, ["pope"], tmp_path / "run")


@pytest.mark.tiny
def test_a_process_that_dies_is_named_with_its_last_words(tmp_path: Path):
    pytest.importorskip("lmms_eval", reason="lmms-eval is not installed (extra eval)")
    (tmp_path / "replies.json").write_text("no JSON", "utf-8")
    spec = {"model": "benchmark_models:Told", "options": {"replies": str(tmp_path / "replies.json"), "heard": "h"}}
    with pytest.raises(ModelError, match=r"(?s)ended with exit code 1. Its last words:.*JSONDecodeError"):
        run_benchmarks({"it": spec}, ["pope"], tmp_path / "run")


def test_a_benchmark_of_ones_own_is_a_task_under_its_name():
    assert benchmarks._benchmark("shapes") == Benchmark(name="shapes", task="shapes")
    assert benchmarks._benchmark("pope").metric == "pope_accuracy"
