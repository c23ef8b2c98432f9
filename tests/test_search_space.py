import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditdm.method import search_space as module
from auditdm.method.predicate import Literal, Predicate
from auditdm.method.search_space import Phrases, Table, predicate_of


def table_of(views, failed=None):
    """A table of probes that are given as their views, each a set of phrases."""
    phrases = Phrases()
    numbers = [[phrases.numbers(sorted(view)) for view in of_probe] for of_probe in views]
    return Table(phrases, numbers, failed or [True] * len(views))


def where(table, predicate):
    """(V, W): of which views a predicate holds."""
    views_VW = table.all_VW
    for literal in predicate.literals:
        known = [table.index[p] for p in literal.any_of if p in table.index]
        views_VW = views_VW & table.holds(known, literal.negated)
    return views_VW


def one_view(rows):
    return [[view] for view in rows]


def colours(per=20):
    """What is asked, what is answered and what is shown, on two kinds of questions, evenly mixed."""
    rows = []
    for n in range(6 * per):
        colour, count, other = ("red", "blue", "green")[n % 3], ("1", "2", "3")[n % 3], ("star", "cross")[n // 3 % 2]
        rows.append({'asks "what colour is the ...?"', f'answer "{colour}"', f'about "{other}"', f'shows "{other}"'})
        rows.append({'asks "how many ...?"', f'answer "{count}"', f'shows "{other}"', f'about "row{n % 2}"'})
    return rows


# --- phrases and their numbers


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=6))
def test_a_phrase_keeps_its_number(batches):
    phrases = Phrases()
    numbers = [phrases.numbers(batch) for batch in batches]
    assert len(set(phrases.known)) == len(phrases.known)
    for batch, found in zip(batches, numbers, strict=True):
        assert [phrases.known[n] for n in found] == batch


# --- which attributes are considered


def test_what_all_or_nearly_all_probes_share_is_left_out():
    rows = [{"everywhere", *(["rare"] if n < 5 else []), *(["often"] if n % 2 else [])} for n in range(40)]
    rows[0] |= {"once"}
    assert table_of(one_view(rows)).phrases == ["often"]


def test_of_phrases_that_hold_of_the_same_probes_one_is_kept():
    rows = [{'asks "what time is it?"', 'says "time"', 'shows "clock"'} if n % 2 else {"b"} for n in range(40)]
    table = table_of(one_view(rows))
    assert 'asks "what time is it?"' in table.phrases  # how it is asked is said before the words of it
    assert not {'says "time"', 'shows "clock"'} & set(table.phrases)


def test_a_table_of_nothing_has_no_attributes():
    table = table_of([])
    assert table.phrases == []
    assert table.count(table.pack(np.zeros(0, bool))).tolist() == [0, 0]


# --- probes and their views


def test_a_probe_has_all_its_views_and_counts_once():
    views = [[{"a"}, {"b"}] if n % 2 else [{"c"}] for n in range(20)]
    table = table_of(views, [n % 4 == 1 for n in range(20)])
    [held] = table.of_each(table.all_VW, [table.index["a"]], False)
    [lacking] = table.of_each(table.all_VW, [table.index["a"]], True)
    assert np.array_equal(held, np.bitwise_or.reduce(where(table, Predicate.of(Literal(("a",))))))
    assert table.count(held).tolist() == [5, 5]
    assert table.count(lacking).tolist() == [5, 15]  # the ten have another view, without it
    assert table.unpack(held).tolist() == [n % 2 == 1 for n in range(20)]


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.data())
def test_sets_of_probes_are_packed_and_counted(failed, data):
    table = table_of(one_view([{"a"}] * len(failed)), failed)
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=len(failed), max_size=len(failed))))
    assert table.unpack(table.pack(chosen)).tolist() == chosen.tolist()
    assert table.count(table.pack(chosen)).tolist() == [
        int((chosen & np.array(failed)).sum()),
        int((chosen & ~np.array(failed)).sum()),
    ]


VIEWS = st.lists(st.lists(st.frozensets(st.sampled_from("abcde")), min_size=1, max_size=2), min_size=1, max_size=40)


@given(VIEWS, st.frozensets(st.sampled_from("abcde"), min_size=1, max_size=2), st.booleans())
def test_where_says_what_the_predicate_says(views, values, negated):
    table = table_of(views)
    known = tuple(sorted(values & set(table.phrases)))
    if not known:
        return
    predicate = Predicate.of(Literal(known, negated))
    views_VW = where(table, predicate)
    assert int(np.bitwise_count(views_VW).sum()) == sum(predicate.holds([v]) for of_probe in views for v in of_probe)
    held = table.unpack(np.bitwise_or.reduce(views_VW))
    assert held.tolist() == [predicate.holds(of_probe) for of_probe in views]


# --- what may stand in one condition: values of one slot


def joined(table, *phrases, alone=False):
    values = [table.index[p] for p in phrases]
    return {table.phrases[f] for f in table.may_join(values, alone=alone)}


def test_other_answers_to_the_same_question_may_stand_beside_an_answer():
    table = table_of(one_view(colours()))
    assert joined(table, 'answer "red"') == {'answer "blue"', 'answer "green"'}
    assert joined(table, 'answer "1"') == {'answer "2"', 'answer "3"'}
    assert joined(table, 'answer "1"', 'answer "2"') == {'answer "3"'}


def test_ways_of_asking_that_stand_alone_are_answered_alike():
    answers = {"how many": "12", "how often": "23", "how old": "34", "which colour": ("red", "blue")}
    rows = [
        {f'asks "{way}"', f'answer "{"none" if n % 2 else of[n // 2 % 2]}"'}
        for way, of in answers.items()
        for n in range(40)
    ]
    table = table_of(one_view(rows))
    assert joined(table, 'asks "how many"', alone=True) == {'asks "how often"'}  # "none" answers every question
    assert joined(table, 'asks "how often"', alone=True) == {'asks "how many"', 'asks "how old"'}
    assert joined(table, 'asks "how often"', 'asks "how old"', alone=True) == set()  # "how many" is unlike "how old"
    assert joined(table, 'asks "how many"') == {f'asks "{way}"' for way in answers} - {'asks "how many"'}


def test_what_a_thing_can_be_at_once_is_no_alternative():
    rows = [{f'about "{("red", "blue")[n % 2]}"', f'about "row{n // 2 % 2}"'} for n in range(80)]
    table = table_of(one_view(rows))
    assert joined(table, 'about "red"') == {'about "blue"'}  # "red" and "row1" are of unlike slots
    assert joined(table, 'about "row1"') == {'about "row0"'}


def test_what_a_picture_may_show_instead_is_what_a_question_may_be_about_instead():
    rows = []
    for n in range(240):
        colours, nouns = ("red", "blue"), ("cup", "dish")
        thing = (colours[n % 2], nouns[n // 2 % 2])
        beside = (colours[n // 4 % 2], nouns[n // 8 % 2])
        rows.append({*(f'about "{w}"' for w in thing), *(f'shows "{w}"' for w in (*thing, *beside)),
                     *(f'shows "{" ".join(t)}"' for t in (thing, beside))})  # fmt: skip
    table = table_of(one_view(rows))
    assert joined(table, 'shows "red"') == {'shows "blue"'}  # though most pictures show both
    assert joined(table, 'shows "red cup"') == {'shows "blue cup"', 'shows "red dish"'}
    assert joined(table, 'shows "blue cup"', 'shows "red cup"') == set()  # neither with one word in common with both


def test_what_a_picture_shows_says_as_much_as_it_has_words():
    shown = ('shows "cup"', 'shows "red cup"', 'shows "red dish"', 'about "red"', 'about "blue"')
    table = table_of(one_view([{phrase for n, phrase in enumerate(shown) if row >> n & 1} for row in range(32)] * 2))
    length = {phrase: table.length([table.index[phrase]], negated=False) for phrase in shown}
    assert length == {shown[0]: 1, shown[1]: 2, shown[2]: 2, shown[3]: 1, shown[4]: 1}
    assert table.length([table.index[p] for p in shown[1:3]], negated=False) == 3
    assert table.length([table.index[p] for p in shown[3:]], negated=False) == 2


def test_what_is_not_says_more_than_what_is_but_that_there_is_an_answer_says_little():
    answers = ('answer "none"', 'answer "red"', 'answer "blue"')
    table = table_of(one_view([{answers[row % 3]} for row in range(60)]))
    plain, negated = ([table.length([table.index[a]], negated=no) for a in answers] for no in (False, True))
    assert plain == [1, 1, 1]
    assert negated[0] < 1 < negated[1] == negated[2]


def test_ways_of_asking_that_are_answered_alike_may_stand_alone_together():
    rows = [{f'asks "{("is", "are", "how many")[n % 3]} ...?"',
             f'answer "{("1", "2")[n // 3 % 2] if n % 3 == 2 else ("yes", "no")[n // 3 % 2]}"'}
            for n in range(180)]  # fmt: skip
    table = table_of(one_view(rows))
    assert joined(table, 'asks "is ...?"', alone=True) == {'asks "are ...?"'}
    assert joined(table, 'asks "is ...?"') == {'asks "are ...?"', 'asks "how many ...?"'}  # beside other conditions


def test_a_single_question_may_stand_beside_ways_of_asking_but_not_beside_its_own():
    rows = []
    for n in range(180):
        form = ("is", "are", "how many")[n % 3]
        thing = ("cats", "dogs", "cups")[n // 3 % 3]
        rows.append({f'asks "{form} ...?"', f'the question "{form} {thing} ?"', f"things >= {n % 4}"})
    table = table_of(one_view(rows))
    beside = joined(table, 'asks "is ...?"')
    assert {'asks "are ...?"', 'the question "are dogs ?"'} <= beside
    assert not any(phrase.startswith('the question "is ') for phrase in beside)
    assert 'asks "are ...?"' in joined(table, 'the question "is cats ?"')


@pytest.mark.parametrize("phrase", ["things >= 3", "picture changed"])
def test_a_threshold_has_no_alternative(phrase):
    rows = [{phrase if n % 2 else "x", f"things >= {n % 3}"} for n in range(60)]
    assert joined(table_of(one_view(rows)), phrase) == set()


def test_a_draft_of_numbers_becomes_a_predicate_in_words():
    table = table_of(one_view(colours()))
    colour, thing = [table.index[f'answer "{c}"'] for c in ("red", "blue")], table.index['shows "star"']
    found = predicate_of(table, [(colour, False), ([thing], True)])
    assert found.words() == 'answer "blue" or "red" and not (shows "star")'


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(module).failed == 0
