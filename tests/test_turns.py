import doctest
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from auditdm.backends import turns as module
from auditdm.backends.fakes import FakeModel, fake_picture
from auditdm.backends.turns import Turns
from auditdm.types import Answer, Model

ASKED = [(fake_picture(), "How many dogs?"), (fake_picture("b"), "What colour?")]


class Device:
    """Counts who is on it."""

    def __init__(self):
        self.here, self.most, self.moves = set(), 0, []
        self.lock = threading.Lock()


class Weights:
    def __init__(self, device, name):
        self.device, self.name = device, name
        device.here.add(name)

    def parameters(self):
        yield type("Parameter", (), {"device": "gpu"})()

    def to(self, where):
        with self.device.lock:
            (self.device.here.discard if where == "cpu" else self.device.here.add)(self.name)
            self.device.moves.append((self.name, where))
            self.device.most = max(self.device.most, len(self.device.here))


class Resident:
    def __init__(self, device, name):
        self.name, self.revision, self.model = name, f"{name}@1", Weights(device, name)

    def generate(self, batch):
        assert self.model.device.here == {self.name}
        time.sleep(0.005)
        assert self.model.device.here == {self.name}
        return [
            Answer(model=self.name, text=f"{self.name}: {question}", revision=self.revision) for _, question in batch
        ]


@pytest.fixture
def device():
    return Device()


def test_one_model_at_a_time_is_on_the_device(device):
    turns = Turns()
    guests = [turns.load(lambda name=name: Resident(device, name)) for name in "abc"]
    assert device.here == set()  # each left at once, so that the next one can be loaded
    for guest in guests:
        assert [a.text for a in guest.generate(ASKED)] == [f"{guest.name}: {q}" for _, q in ASKED]
        assert device.here == {guest.name}
    assert [(g.name, g.revision) for g in guests] == [("a", "a@1"), ("b", "b@1"), ("c", "c@1")]
    assert all(isinstance(g, Model) for g in guests)


def test_a_model_is_made_on_an_empty_device(device):
    turns = Turns()
    turns.load(lambda: Resident(device, "a")).generate(ASKED)
    assert device.here == {"a"}
    device.most = 0
    turns.load(lambda: Resident(device, "b"))
    assert device.most <= 1
    turns.clear()
    assert device.here == set()
    turns.clear()  # nobody is there


def test_who_is_asked_again_stays(device):
    turns = Turns()
    guest = turns.load(lambda: Resident(device, "a"))
    guest.generate(ASKED)
    guest.generate(ASKED)
    assert device.moves == [("a", "cpu"), ("a", "gpu"), ("a", "gpu")]  # the second is no move: it is there


def test_guests_asked_side_by_side_wait_for_one_another(device):
    turns = Turns()
    guests = [turns.load(lambda n=n: Resident(device, str(n))) for n in range(4)]
    device.most = 0
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda n: (n, guests[n % 4].generate(ASKED)), range(40)))
    assert device.most == 1
    assert all(answers[0].model == str(n % 4) for n, answers in told)


def test_a_fault_gives_the_turn_back(device):
    class Broken(Resident):
        def generate(self, batch):
            raise RuntimeError("no")

    turns = Turns()
    broken, well = turns.load(lambda: Broken(device, "x")), turns.load(lambda: Resident(device, "y"))
    with pytest.raises(RuntimeError):
        broken.generate(ASKED)
    assert well.generate(ASKED)[0].model == "y"


def test_what_holds_no_weights_here_is_left_as_it_is(device):
    fake = FakeModel(lambda _: "two")
    assert Turns().load(lambda: fake) is fake
    spread = Resident(device, "s")
    spread.model.hf_device_map = {"": 0}  # placed by accelerate: it must not be moved
    assert Turns().load(lambda: spread) is spread


@pytest.mark.tiny
def test_a_real_model_answers_the_same():
    from auditdm.backends.specs import load_model

    model = load_model("sandbox/target-small", max_new_tokens=4)
    before = model.generate(ASKED)
    turns = Turns()
    guests = [turns.load(lambda: model), turns.load(lambda: load_model("sandbox/reference-1", max_new_tokens=4))]
    guests[1].generate(ASKED)
    assert guests[0].generate(ASKED) == before


@pytest.mark.tiny
def test_an_audit_whose_models_take_turns_finds_the_same(tmp_path):
    from auditdm.config import parse_config
    from auditdm.runs.auditing import audit

    told = {
        "images": {"path": "sandbox/5", "limit": 16},
        "auditor": "sandbox/auditor",
        "target": {"model": "sandbox/target-small", "max_new_tokens": 6},
        "references": [{"model": f"sandbox/reference-{n}", "max_new_tokens": 6} for n in (1, 2)],
        "prompts": "auditdm.sandbox:prompts.yaml",
        "training": {"steps": 1, "batch": 4, "group": 2, "grpo": {"max_completion_length": 16}},
        "discovery": {"probes": 16, "batch": 16},
        "confirmation": {"budget": 0},
    }
    runs = [audit(parse_config(told | {"turns": turns}), tmp_path / str(turns)) for turns in (False, True)]
    for table in ("proposals", "probes", "answers", "verdicts", "rewards", "failure_modes"):
        one, other = (sorted(run.rows(table), key=lambda row: row["id"]) for run in runs)
        assert one == other, table
    assert runs[0].rows("answers")


def test_the_example_of_the_docstring_runs():
    assert doctest.testmod(module).failed == 0
