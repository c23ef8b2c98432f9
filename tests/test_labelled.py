import json
import re

import pytest

from auditdm.backends.fakes import fake_picture
from auditdm.backends.labelled import read_labelled
from auditdm.errors import ConfigError
from auditdm.types import picture_id


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "again.png"):
        fake_picture(name[0]).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return tmp_path


def listed(folder, *lines, name="questions.jsonl"):
    (folder / name).write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return folder


def line(image, question="how many ?", **rest):
    return {"image": image, "question": question, **(rest or {"answer": "two"})}


def test_rows_come_in_order_and_a_picture_may_have_several(folder):
    found = read_labelled(
        listed(folder, line("a.png"), "", line("b.png", answer=" one "), line("a.png", "any dogs ?", answer="no"))
    )
    assert [(r.question, r.answer, r.origin) for r in found.rows] == [
        ("how many ?", "two", "a.png"), ("how many ?", "one", "b.png"), ("any dogs ?", "no", "a.png"),
    ]  # fmt: skip
    assert list(found) == [picture_id(fake_picture("a")), picture_id(fake_picture("b"))]
    assert all(picture_id(found[name]) == name for name in found)
    assert {r.picture_id for r in found.rows} == set(found)


def test_a_list_by_name_has_its_pictures_beside_it(folder):
    listed(folder, line("a.png"), name="train.jsonl")
    assert len(read_labelled(folder / "train.jsonl").rows) == 1


def test_the_most_frequent_of_several_answers_counts(folder):
    given = [
        {"answers": ["red", "blue", "blue"]},
        {"answers": [{"answer": "no"}, {"answer": "yes"}]},
        {"answer": ["x"]},
    ]
    found = read_labelled(listed(folder, *(line("a.png", **g) for g in given)))
    assert [r.answer for r in found.rows] == ["blue", "no", "x"]


def test_pictures_that_cannot_be_read_are_named_and_left_out(folder, caplog):
    found = read_labelled(listed(folder, line("broken.png"), line("gone.png"), line("a.png"), line("broken.png")))
    assert [r.origin for r in found.rows] == ["a.png"]
    assert [name for name, _ in found.skipped] == ["broken.png", "gone.png"]
    assert "broken.png: left out" in caplog.text


def test_the_same_pixels_under_two_names_are_one_picture_and_two_rows(folder):
    found = read_labelled(listed(folder, line("a.png"), line("again.png")))
    assert len(found.rows) == 2
    assert len(found) == 1


def test_a_limit_counts_good_rows(folder):
    found = read_labelled(listed(folder, line("gone.png"), line("a.png"), line("b.png"), "not json"), limit=2)
    assert [r.origin for r in found.rows] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["[]"], "questions.jsonl:1: is '[]'. Each line holds"),
        ([{"image": "a.png", "question": "how ?"}], "questions.jsonl:1: is"),
        ([line("a.png"), line("a.png", answer=" ")], "questions.jsonl:2: image, question and answer must be texts"),
        ([line("a.png", answer=2)], "must be texts, none blank"),
        ([line("a.png", answers=[])], "must be texts, none blank"),
        ([line("gone.png")], "has no row whose picture can be read. The last picture, gone.png"),
        ([], "has no row whose picture can be read. It has no line."),
    ],
)
def test_wrong_lists_are_said_in_words(folder, lines, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_labelled(listed(folder, *lines))


@pytest.mark.parametrize("path", ["nowhere", ".", "a.png"])
def test_no_list_is_said_in_words(folder, path):
    with pytest.raises(ConfigError, match=r"rectify.labelled: .* is no labelled set. Give a folder with a questions"):
        read_labelled(folder / path)
