import pytest

from auditdm.backends.fakes import FakeJudge, FakeModel, fake_picture
from auditdm.runs.evaluation import evaluate
from auditdm.stats import Rate
from auditdm.store import Run
from auditdm.types import Example

# suite, slice, question, right answer
ASKED = [
    ("count", "", "how many dogs ?", "two"),
    ("count", "", "how many cats ?", "two"),
    ("count", "many", "how many bees ?", "nine"),
    ("count", "many", "how many ants ?", "nine"),
    ("count", "dark", "how many bats ?", "two"),
    ("colour", "", "what colour is it ?", "red"),
]
EXAMPLES = [
    Example(suite=suite, slice=part, question=question, answer=answer, image=fake_picture(question))
    for suite, part, question, answer in ASKED
]
SAID = {
    "how many dogs ?": "two",  # right
    "how many cats ?": "TWO",  # right: the judge decides
    "how many bees ?": "two",  # wrong
    "how many ants ?": None,  # no reply: void
    "how many bats ?": "hm",  # the judge cannot tell: void
    "what colour is it ?": "",  # silence is an answer, and wrong
}
JUDGE = FakeJudge(unclear=["hm"])
BY_HAND = {
    ("count", ""): Rate(hits=2, asked=3, void=2),
    ("count", "elsewhere"): Rate(hits=2, asked=2, void=0),
    ("count", "many"): Rate(hits=0, asked=1, void=1),
    ("count", "dark"): Rate(hits=0, asked=0, void=1),
    ("colour", ""): Rate(hits=0, asked=1, void=0),
}


class Forbidden:
    name, revision = "forbidden", None

    def generate(self, batch):
        raise AssertionError("a model that stands in the table was asked again")


def test_rates_per_suite_and_slice_are_those_counted_by_hand():
    found = evaluate({"before": FakeModel(SAID)}, EXAMPLES, JUDGE)
    assert found == {"before": BY_HAND}
    assert found["before"]["count", "dark"].value is None  # nothing measured is not zero


def test_the_order_of_the_questions_changes_nothing():
    turned = evaluate({"before": FakeModel(SAID)}, EXAMPLES[::-1], JUDGE)
    assert turned == {"before": BY_HAND}


def test_a_model_that_stands_in_the_table_is_not_asked_again(tmp_path):
    told = []
    with Run.open(tmp_path, {}, {}) as run:
        first = evaluate({"before": FakeModel(SAID)}, EXAMPLES, JUDGE, run, tell=lambda *said: told.append(said))
        rows = run.rows("scores")
        again = evaluate(
            {"before": Forbidden(), "after": FakeModel(lambda _: "two")},
            EXAMPLES,
            JUDGE,
            run,
            tell=lambda *said: told.append(said),
        )
        assert run.rows("scores")[: len(rows)] == rows
        assert len(run.rows("scores")) == 2 * len(BY_HAND)
    assert again["before"] == first["before"] == BY_HAND
    assert again["after"]["count", ""] == Rate(hits=3, asked=5, void=0)
    assert told == [("evaluated", {"model": "before"}), ("evaluated", {"model": "after"})]
    assert {(row["suite"], row["slice"]): (row["hits"], row["asked"], row["void"]) for row in rows} == {
        key: (rate.hits, rate.asked, rate.void) for key, rate in BY_HAND.items()
    }


@pytest.mark.parametrize("models", [{}, {"before": FakeModel(SAID)}])
def test_no_questions_and_no_models_give_nothing(models):
    assert evaluate(models, [], JUDGE) == {name: {} for name in models}
