"""What findings stand for: failure types among their fresh probes, and the slice that each mostly lies in."""

from auditdm.sandbox.truth import LEAST, confirmed_types


class Told:
    """The two tables that are read."""

    def __init__(self, *findings):
        self.tables = {"findings": [], "truths": []}
        for n, (state, met) in enumerate(findings):
            failing = [f"{n}-{gap}-{k}" for gap, count in met.items() for k in range(count)]
            self.tables["findings"].append({"name": f"name {n}", "state": state, "failing": failing})
            self.tables["truths"] += [
                {
                    "id": i,
                    "valid": True,
                    "target_right": False,
                    "skill": "digit",
                    "gap": i.split("-")[1] if "none" not in i else None,
                }
                for i in failing
            ]

    def rows(self, table):
        return self.tables[table]


def test_a_finding_that_joins_two_slices_confirms_both_and_is_named_after_the_one_it_mostly_lies_in():
    found = confirmed_types(Told(("confirmed", {"a": 60, "b": LEAST, "c": LEAST - 1}), ("not confirmed", {"d": 80})))
    assert found["distinct_failure_types_confirmed"] == 2
    assert found["failure_types_named"] == {"a": ["name 0"]}
    assert found["confirmed_in_no_slice"] == []


def test_a_finding_mostly_outside_confirms_nothing():
    found = confirmed_types(Told(("confirmed", {"none": 40, "a": 39}), ("confirmed", {"b": 30, "c": 30})))
    assert found["confirmed_in_no_slice"] == ["name 0"]
    assert found["distinct_failure_types_confirmed"] == 2
    assert found["failure_types_named"] == {}


def test_without_a_ledger_nothing_is_said():
    assert confirmed_types(Told()) == {}
