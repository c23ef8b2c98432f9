"""Models behind servers, against a server that fails on purpose and against the real one of transformers."""

import asyncio
import doctest
import email.utils
import gc
import json
import logging
import random
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from auditdm.backends import endpoint, endpoint_access
from auditdm.backends.endpoint import EndpointModel
from auditdm.backends.endpoint_access import PLACES, Access, with_address
from auditdm.backends.endpoint_replies import refusal
from auditdm.backends.endpoint_sending import Gate
from auditdm.errors import ConfigError, ModelError
from auditdm.types import Model
from faulty_server import FAULTS, KEY, FaultyServer, choice_of, read_content, right_answer

VARIABLES = sorted(
    {name for place in PLACES.values() for name in (*place.address_variables, *place.key_variables)}
    | {"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
)
ABOUT = {  # fault of the server -> what the void answer says
    "429": "status 429: Too many requests",
    "500": "status 500: CUDA error",
    "hang": "no reply within 8 s",
    "cut": "the connection was cut",
    "drip": "no reply within 8 s",
    "html": "something other than a JSON object",
    "empty": "no choice",
    "two": "2 choices",
    "huge": "longer than 1000000 bytes",
    "huge 500": "longer than 1000000 bytes",
    "deep": "something other than a JSON object",
    "latin": "something other than a JSON object",
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch, tmp_path):
    """No variable of the person who runs the tests, and no .env of theirs."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def picture(number=0, size=(20, 12)):
    return Image.effect_noise(size, 40).convert("RGB") if number < 0 else Image.new("RGB", size, (number, 7, 99))


PROBES = [(picture(number // 3), f"question {number % 7} ?") for number in range(60)]  # 60 different ones
ONE = PROBES[:1]


def texts(answers):
    return [answer.text for answer in answers]


def right(batch):
    return [right_answer(image, text) for image, text in batch]


def model_at(server, **options):
    return EndpointModel("tiny", base_url=server.url, **options)


# the contract


def test_the_examples_are_right():
    assert doctest.testmod(endpoint).attempted > 0
    assert doctest.testmod(endpoint).failed == doctest.testmod(endpoint_access).failed == 0


def test_it_obeys_the_protocol_and_keeps_order():
    with FaultyServer() as server:
        model = model_at(server, name="openai-api/tiny", revision="2026-01")
        assert isinstance(model, Model)
        assert model.generate([]) == []
        answers = model.generate(PROBES)
        assert texts(answers) == right(PROBES)
        assert texts(model.generate(PROBES[::-1])) == right(PROBES)[::-1]
        assert {(a.model, a.revision, a.problem) for a in answers} == {("openai-api/tiny", "2026-01", None)}
        assert model.served == ("tiny-2026-01",)


def test_a_batch_is_the_same_whatever_way_it_is_split():
    with FaultyServer() as server:
        model = model_at(server)
        assert model.generate(PROBES[:9]) == [one for probe in PROBES[:9] for one in model.generate([probe])]


def test_a_request_is_the_picture_then_the_text():
    noisy, pale = Image.effect_noise((31, 17), 90).convert("RGB"), picture().convert("LA")
    with FaultyServer() as server:
        model_at(server, max_new_tokens=9).generate([(noisy, "what ?"), (pale, "why ?")])
        bodies = {ask.text: ask.body for ask in server.asks}
    sent, text = read_content(bodies["what ?"])
    assert (sent.tobytes(), sent.size, sent.format, text) == (noisy.tobytes(), (31, 17), "PNG", "what ?")
    assert read_content(bodies["why ?"])[0].mode == "RGB"
    settings = {key: found for key, found in bodies["what ?"].items() if key != "messages"}
    assert settings == {"model": "tiny", "max_tokens": 9, "temperature": 0.0}


def test_a_picture_may_be_a_jpeg():
    with FaultyServer() as server:
        model_at(server, picture_format="jpeg").generate(ONE)
        [ask] = server.asks
    sent, _ = read_content(ask.body)
    assert (sent.format, sent.size) == ("JPEG", ONE[0][0].size)


def test_extra_goes_into_the_request_and_none_takes_out():
    with FaultyServer() as server:
        extra = {"temperature": None, "seed": None, "top_k": 1}
        model_at(server, temperature=0.5, extra=extra, token_limit="max_completion_tokens").generate(ONE)
        [ask] = server.asks
    assert set(ask.body) == {"model", "messages", "top_k", "max_completion_tokens"}


# faults of one probe


def test_with_faults_in_three_of_ten_requests_every_probe_is_answered_rightly():
    def fault(ask):
        drawn = random.Random(f"{ask.answer} {ask.time}")  # whatever the order of the requests
        return drawn.choice(FAULTS) if drawn.random() < 0.3 else None

    with FaultyServer(fault) as server:
        model = model_at(server, timeout_s=1.0)
        answers = model.generate(PROBES)
        faults = sum(fault(ask) is not None for ask in server.asks)
        assert model.usage.requests == len(server.asks)
    assert texts(answers) == right(PROBES)  # none lost, none wrong, all measured
    assert 0.2 < faults / len(server.asks) < 0.45


def test_without_retries_each_fault_is_void_with_its_reason_and_touches_no_other_probe():
    kinds = [*ABOUT, None]
    batch = [(image, f"{kinds[at % len(kinds)]} ? {at}") for at, (image, _) in enumerate(PROBES[:26])]

    def fault(ask):
        kind = ask.text.partition(" ?")[0]
        return None if kind == "None" else kind

    with FaultyServer(fault) as server:
        began = time.monotonic()
        answers = model_at(server, timeout_s=8.0, retries=0, connections=32).generate(batch)
        assert time.monotonic() - began < 40
        assert len(server.asks) == len(batch)
    for at, (answer, expected) in enumerate(zip(answers, right(batch), strict=True)):
        kind = kinds[at % len(kinds)]
        if kind is None:
            assert (answer.text, answer.problem) == (expected, None)
        else:
            assert answer.text is None
            assert ABOUT[kind] in answer.problem, kind
            assert answer.problem.startswith("tiny: ")
            assert answer.problem.endswith("(asked 1 times)")


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        (choice_of(""), ""),
        (choice_of("  two dogs\n"), "two dogs"),
        (choice_of(None), ""),
        (choice_of("", finish_reason="length"), ""),
        ({"message": {"content": None, "refusal": "I cannot help with that."}}, "I cannot help with that."),
        (choice_of("half \ud83d"), "half ?"),
    ],
)
def test_an_empty_text_and_a_refusal_are_answers(choice, text):
    with FaultyServer(choice=lambda ask: choice) as server:
        [answer] = model_at(server).generate(ONE)
    assert (answer.text, answer.problem) == (text, None)


@pytest.mark.parametrize(
    ("choice", "problem", "asked"),
    [
        (choice_of("", finish_reason="content_filter"), "filtered", 1),
        (choice_of("no", finish_reason="content_filter: SAFETY"), "filtered", 1),
        ({"finish_reason": "length", "message": {"reasoning_content": "Let me"}}, "raise max_new_tokens", 1),
        (choice_of([{"type": "text", "text": "two"}]), "a list instead of a text", 1),
        (choice_of("no", finish_reason="error"), "broke off", 2),
        ({"message": {"role": "assistant"}}, "without a text", 2),
        ({"text": "two"}, "without a message", 2),
        (None, "without a message", 2),
    ],
)
def test_a_choice_that_says_nothing_is_void(choice, problem, asked):
    with FaultyServer(choice=lambda ask: choice) as server:
        [answer] = model_at(server, retries=1).generate(ONE)
        assert len(server.asks) == asked
    assert answer.text is None
    assert problem in answer.problem


@pytest.mark.parametrize(
    ("status", "said", "problem"),
    [
        (400, {"error": {"code": "content_filter", "message": "Your picture"}}, "filtered the picture"),
        (403, {"error": {"message": "Your input was flagged"}}, "filtered the picture"),
        (400, {"error": {"message": "This model's maximum context is 4096"}}, "status 400: This model's maximum"),
        (413, b"<html>Too large</html>", "status 413"),
        (422, {"detail": "tiny is too much"}, "status 422: tiny is too much"),
    ],
)
def test_a_probe_that_the_server_declines_is_void_at_once(status, said, problem):
    with FaultyServer(lambda ask: (status, {}, said) if ask.text == ONE[0][1] else None) as server:
        answers = model_at(server).generate(PROBES[:3])
        assert len(server.asks) == 3
    assert problem in answers[0].problem
    assert texts(answers)[1:] == right(PROBES[:3])[1:]


# what concerns every probe


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (401, {}, r"does not accept the key \(401\). Put a valid key into the variable TEST_KEY"),
        (402, {}, r"account of TEST_KEY has no credit left"),
        (403, {}, r"denies 'tiny' to the key in TEST_KEY"),
        (404, {"error": {"message": "no tiny"}}, r"knows no model 'tiny'.*/models.*/v1. The server says: no tiny"),
        (400, {"detail": "Server is pinned to 'a'; requested 'tiny'."}, r"knows no model 'tiny' \(400\)"),
        (400, {"error": {"code": "unsupported_value", "message": "temperature"}}, r"extra: \{OPTION: null\}.*temp"),
        (429, {"error": {"code": "insufficient_quota", "message": "Pay"}}, r"no credit left \(429\)"),
        (307, {}, r"sends requests elsewhere \(307\)"),
    ],
)
def test_what_no_probe_can_pass_is_an_error_that_says_what_to_do(monkeypatch, status, said, words):
    monkeypatch.setenv("TEST_KEY", KEY)
    with FaultyServer(lambda ask: (status, {"Location": "http://127.0.0.1:9/v1"}, said), delay_s=0.02) as server:
        model = model_at(server, api_key_env="TEST_KEY", connections=2)
        with pytest.raises(ModelError, match=words) as caught:
            model.generate(PROBES)
        time.sleep(0.2)
        assert len(server.asks) <= 6  # the others are not asked any more
        assert server.url in str(caught.value) or status in (400, 402, 429)


def test_after_an_error_the_model_can_be_asked_again():
    closed = threading.Event()
    with FaultyServer(lambda ask: None if closed.is_set() else (401, {}, {})) as server:
        model = model_at(server, connections=2)
        with pytest.raises(ModelError, match="None was sent: name the variable that holds it as api_key_env"):
            model.generate(PROBES)
        closed.set()
        assert texts(model.generate(PROBES)) == right(PROBES)


def test_a_server_that_is_not_there_is_an_error():
    with FaultyServer() as server:
        url = server.url
    with pytest.raises(ModelError, match=rf"tiny: {url} cannot be reached: no connection .*Check base_url"):
        EndpointModel("tiny", base_url=url, retries=1).generate(PROBES[:3])


# keys


def test_a_key_is_sent_and_seen_nowhere_else(monkeypatch, caplog):
    monkeypatch.setenv("TEST_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    echo = {"error": {"message": f"Bad key {KEY}"}}
    part = {"error": {"message": f"Bad key {KEY[:10]}..."}}
    faults = {"echo": (500, {}, echo), "part": (400, {}, part), "said": (200, {}, {"choices": [choice_of(KEY)]})}
    with FaultyServer(lambda ask: faults.get(ask.text, (401, {}, echo))) as server:
        model = model_at(server, api_key_env="TEST_KEY", retries=1)
        answers = model.generate([(picture(), text) for text in faults])
        with pytest.raises(ModelError) as caught:
            model.generate([(picture(), "other")])
        assert {ask.headers["authorization"] for ask in server.asks} == {f"Bearer {KEY}"}
        assert not any(KEY in str(ask.body) for ask in server.asks)
    shown = [repr(model), repr(vars(model)), str(answers), caplog.text, repr(caught.value), str(caught.value)]
    shown += [repr(error) for error in (caught.value.__cause__, caught.value.__context__)]
    assert all(answer.text is None for answer in answers)
    assert "asking again" in caplog.text
    assert not any(KEY[:8] in text for text in shown)


def test_a_key_goes_to_no_address_but_its_own(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    with FaultyServer() as server:
        model_at(server).generate(ONE)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        EndpointModel("tiny").generate(ONE)
        first, second = (ask.headers for ask in server.asks)
    assert (first["authorization"], second["authorization"]) == ("Bearer none", f"Bearer {KEY}")
    assert not any("organization" in name for name in (*first, *second))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"api_key_env": "sk-123-secret"}, "is not the name of an environment variable"),
        ({"api_key_env": "UNSET_KEY"}, "UNSET_KEY is not set"),
        ({"api_key_env": "BROKEN_KEY"}, "BROKEN_KEY holds spaces"),
        ({"base_url": "http://me:secret@host/v1"}, "holds more than an address"),
        ({"base_url": "https://host/v1?key=secret"}, "holds more than an address"),
        ({"base_url": "localhost:8000"}, "write it like http://localhost:8000/v1"),
        ({"base_url": None}, "no address. Set base_url.*OPENAI_BASE_URL or OPENAI_API_BASE"),
        ({"connections": 0}, "connections is 0; it must be at least 1"),
        ({"requests_per_minute": 0}, "requests_per_minute is 0"),
        ({"timeout_s": float("nan")}, "timeout_s is nan"),
        ({"picture_format": "gif"}, "Known: png, jpeg"),
        ({"extra": {"messages": []}}, "extra.messages is set by auditdm itself"),
    ],
)
def test_wrong_options_are_named_and_keys_are_not_quoted(monkeypatch, options, words):
    monkeypatch.setenv("BROKEN_KEY", "secret with\nspaces")
    with pytest.raises(ConfigError, match=words) as caught:
        EndpointModel("tiny", **{"base_url": "http://127.0.0.1:9/v1", **options})
    assert "secret" not in str(caught.value)


def test_settings_come_from_the_environment_then_from_the_env_file(monkeypatch, tmp_path):
    with FaultyServer() as server:
        (tmp_path / ".env").write_text(
            f"# ours\nexport OPENAI_API_BASE='{server.url}/chat/completions'\nOPENAI_API_KEY={KEY}\nMINE=\"{KEY}\"\n"
        )
        EndpointModel("tiny").generate(ONE)
        monkeypatch.setenv("OPENAI_API_KEY", "another-key")
        EndpointModel("tiny").generate(ONE)
        EndpointModel("tiny", api_key_env="MINE").generate(ONE)
        sent = [ask.headers["authorization"] for ask in server.asks]
    assert sent == [f"Bearer {KEY}", "Bearer another-key", f"Bearer {KEY}"]


def test_each_kind_of_spec_has_its_address_and_its_key(monkeypatch):
    assert with_address("vllm", {})["base_url"] == "http://localhost:8000/v1"
    assert with_address("openai-api", {})["base_url"] is None
    with pytest.raises(ConfigError, match=r"google/\.\.\.: no key in GOOGLE_API_KEY or GEMINI_API_KEY"):
        with_address("google", {})
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setenv("VLLM_BASE_URL", "http://gpu:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert with_address("google", {})["api_key_env"] == "GEMINI_API_KEY"
    assert with_address("vllm", {})["base_url"] == "http://gpu:1/v1"
    assert with_address("openai", {"connections": 3}) == {
        "base_url": "https://api.openai.com/v1",
        "api_key_env": "OPENAI_API_KEY",
        "token_limit": "max_completion_tokens",
        "connections": 3,
    }
    assert with_address("openai-api", {"base_url": "http://other/v1"}) == {
        "base_url": "http://other/v1",
        "token_limit": "max_tokens",
    }
    for kind in PLACES:
        assert KEY not in str(with_address(kind, {"api_key_env": "GEMINI_API_KEY"}))
        EndpointModel("m", **with_address(kind, {"base_url": "http://other/v1"}))


# how often, how fast


def test_equal_pairs_are_asked_once_when_nothing_is_drawn():
    batch = [(picture(1), "a ?"), (picture(2), "a ?"), (picture(1), "a ?"), (picture(1).copy(), "a ?")]
    with FaultyServer() as server:
        assert texts(model_at(server).generate(batch)) == right(batch)
        assert len(server.asks) == 2
        model = model_at(server, temperature=0.7)
        model.generate(batch)
        seeds = [(ask.answer, ask.body["seed"]) for ask in server.asks[2:]]
        model_at(server, temperature=0.7).generate(batch)
        again = [(ask.answer, ask.body["seed"]) for ask in server.asks[6:]]
        model_at(server, temperature=0.7, seed=1).generate(ONE)
        model_at(server, temperature=0.7, seed=None).generate(ONE)
        other, unseeded = server.asks[-2:]
    assert len({seed for _, seed in seeds}) == 4
    assert sorted(seeds) == sorted(again)
    assert other.body["seed"] not in {seed for _, seed in seeds}
    assert "seed" not in unseeded.body
    assert all("seed" not in ask.body for ask in server.asks[:2])


def test_threads_share_one_limit_and_lose_nothing():
    with FaultyServer(delay_s=0.02) as server:
        model = model_at(server, connections=3)
        batches = [[(image, f"{text} {caller}") for image, text in PROBES[:12]] for caller in range(5)]
        with ThreadPoolExecutor(5) as pool:
            answers = list(pool.map(model.generate, batches))
        assert [texts(one) for one in answers] == [right(batch) for batch in batches]
        assert server.most_at_once == 3


def test_too_many_requests_make_it_ask_fewer_at_a_time():
    with FaultyServer(lambda ask: "429" if ask.at_once > 3 else None, delay_s=0.05) as server:
        model = model_at(server, connections=16)
        assert texts(model.generate(PROBES)) == right(PROBES)
        later = server.asks[len(server.asks) // 2 :]
    assert server.most_at_once > 3
    assert sum(ask.at_once for ask in later) / len(later) < 6


def test_a_wave_of_429s_halves_once_and_replies_widen_again():
    async def course():
        gate = Gate(16, None)
        began = [await gate.enter() for _ in range(16)]
        for one in began:
            gate.narrow(one, None)
            gate.leave()
        halved = gate.limit
        gate.narrow(await gate.enter(), None)
        quartered = gate.limit
        for _ in range(8):
            gate.widen()
        little = gate.limit
        for _ in range(500):
            gate.widen()
        return halved, quartered, little, gate.limit

    halved, quartered, little, full = asyncio.run(course())
    assert (halved, quartered, full) == (8, 4, 16)
    assert 5 < little < 6


def test_a_cancelled_wait_gives_its_place_on():
    async def course():
        gate = Gate(1, None)
        await gate.enter()
        first, second = (asyncio.create_task(gate.enter()) for _ in range(2))
        await asyncio.sleep(0)
        gate.leave()  # the turn is the first's, who does not take it
        first.cancel()
        await asyncio.wait_for(second, 5)

    asyncio.run(course())


@pytest.mark.parametrize("header", ["Retry-After", "retry-after-ms"])
def test_retry_after_is_honoured_by_all(header):
    wait = {"Retry-After": "1", "retry-after-ms": "1000"}[header]
    first = threading.Event()

    def fault(ask):
        if first.is_set():
            return None
        first.set()
        return 429, {header: wait}, {}

    with FaultyServer(fault) as server:
        answers = model_at(server, connections=1).generate(PROBES[:4])
        gaps = [ask.arrived_s - server.asks[0].arrived_s for ask in server.asks[1:]]
    assert texts(answers) == right(PROBES[:4])
    assert len(gaps) == 4
    assert all(gap > 0.95 for gap in gaps)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7"}, 7, 7),
        ({"retry-after": "0.5"}, 0.5, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5, 1.5),
        ({"retry-after": email.utils.formatdate(time.time() + 30, usegmt=True)}, 0, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers, least, most):
    access = Access("http://127.0.0.1:9/v1", None, None)
    fault = refusal(503, b"", headers, "tiny", access)
    assert least <= fault.wait_s <= most
    assert fault.again
    assert not fault.slower
    assert [refusal(503, b"", {"retry-after": odd}, "tiny", access).wait_s for odd in ("inf", "soon", "")] == [None] * 3


def test_words_of_a_server_are_short_plain_and_on_one_line():
    said = json.dumps({"error": {"message": "\x1b[31mBad\n\n news" + "!" * 2000}}).encode()
    fault = refusal(500, said, {}, "tiny", Access("http://127.0.0.1:9/v1", None, None))
    assert fault.why.startswith("the server answers with status 500: [31mBad news!!")
    assert len(fault.why) < 600


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="sends Ctrl-C as POSIX does")
def test_ctrl_c_stops_the_asking():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    hanging = threading.Event()

    def fault(ask):
        if not hanging.is_set():
            hanging.set()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return "hang" if ask.text != "later ?" else None

    try:
        with FaultyServer(fault) as server:
            model = model_at(server, connections=2)
            with pytest.raises(KeyboardInterrupt):
                model.generate(PROBES)
            assert texts(model.generate([(picture(), "later ?")])) == right([(picture(), "later ?")])
            assert len(server.asks) <= 3
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_server_that_asks_for_an_hour_is_not_asked_again():
    with FaultyServer(lambda ask: (429, {"Retry-After": "3600"}, {})) as server:
        [answer] = model_at(server).generate(ONE)
        assert len(server.asks) == 1
    assert "status 429 and asks to wait 3600 s (asked 1 times)" in answer.problem


def test_requests_per_minute_are_kept_to_and_evenly_spaced():
    with FaultyServer() as server:
        model_at(server, requests_per_minute=1200).generate(PROBES[:11])
        arrived = sorted(ask.arrived_s for ask in server.asks)
    assert arrived[-1] - arrived[0] > 10 * 0.05 - 0.03


def test_pauses_grow_are_random_and_leave_the_common_chance_alone():
    model = EndpointModel("tiny", base_url="http://127.0.0.1:9/v1")
    random.seed(5)
    pauses = [[model._pause_s(tries, None) for _ in range(20)] for tries in range(1, 12)]
    drawn = random.random()
    random.seed(5)
    assert drawn == random.random()
    assert all(min(0.25 * 2**n, 60) / 2 <= p <= min(0.25 * 2**n, 60) for n, row in enumerate(pauses, 1) for p in row)
    assert all(len(set(row)) > 10 for row in pauses)
    assert all(7 <= model._pause_s(1, 7.0) <= 7.5 for _ in range(20))


def test_tokens_and_price_are_counted_with_those_that_did_not_tell():
    def fault(ask):
        return {0: "500", 1: "empty"}.get(ask.time) if ask.text == "b ?" else None

    with FaultyServer(fault) as server:
        model = model_at(server, usd_per_million_in=2.0, usd_per_million_out=10.0)
        assert model.usage.price_usd == 0.0
        model.generate([(picture(), "a ?"), (picture(), "b ?")])
        assert (model.usage.requests, model.usage.replies, model.usage.counted) == (4, 3, 3)
        assert (model.usage.tokens_in, model.usage.tokens_out) == (300, 15)
        assert model.usage.price_usd == pytest.approx(300 * 2e-6 + 15 * 10e-6)
        plain = model_at(server)
        plain.generate(ONE)
        assert (plain.usage.counted, plain.usage.price_usd) == (1, None)
    with FaultyServer(
        lambda ask: (200, {}, {"choices": [choice_of("two")], "usage": {"prompt_tokens": "x"}})
    ) as server:
        model = model_at(server)
        assert texts(model.generate(ONE)) == ["two"]
        assert (model.usage.replies, model.usage.counted, model.usage.tokens_in) == (1, 0, 0)


def test_another_model_behind_the_same_name_is_noticed(caplog):
    names = iter(["m-1", "m-1", "m-2"])
    said = {"choices": [choice_of("two")]}
    with FaultyServer(lambda ask: (200, {}, {**said, "model": next(names)})) as server:
        model = model_at(server)
        for _ in range(3):
            model.generate(ONE)
    assert model.served == ("m-1", "m-2")
    assert "now calls its model 'm-2', before 'm-1'" in caplog.text


def test_its_thread_ends_with_it():
    def threads():
        return [one for one in threading.enumerate() if one.name == "endpoint short-lived"]

    with FaultyServer() as server:
        model = model_at(server, name="short-lived")
        model.generate(ONE)
        assert len(threads()) == 1
        del model
        gc.collect()
        end = time.monotonic() + 10
        while threads() and time.monotonic() < end:
            time.sleep(0.01)
        assert threads() == []


def test_it_can_be_asked_from_within_a_running_loop():
    async def notebook(model):
        return model.generate(ONE)

    with FaultyServer() as server:
        assert texts(asyncio.run(notebook(model_at(server)))) == right(ONE)


def test_a_picture_that_cannot_be_written_is_void():
    wide = Image.new("RGB", (70_000, 1))
    with FaultyServer() as server:
        answers = model_at(server, picture_format="jpeg").generate([(wide, "a ?"), (picture(), "a ?")])
        assert len(server.asks) == 1
    assert "cannot be written as jpeg" in answers[0].problem
    assert answers[1].text is not None


# the real server of transformers


@pytest.fixture(scope="module")
def served():
    """The small target of the zoo behind `transformers serve`: its address and the model's name there."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    from transformers.cli.serve import Serve

    from auditdm.sandbox.zoo import model_folder

    folder = str(model_folder("target-small"))
    serving = Serve(
        force_model=folder,
        device="cpu",
        dtype="float32",
        host="127.0.0.1",
        port=0,
        log_level="error",
        non_blocking=True,
    )
    try:
        end = time.monotonic() + 30
        while not serving.server.started and time.monotonic() < end:
            time.sleep(0.02)
        port = serving.server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1", folder
    finally:
        serving.kill_server()


@pytest.mark.tiny
def test_transformers_serve_gives_the_answers_of_the_model_in_process(served):
    from auditdm.backends.local import TransformersModel
    from auditdm.backends.specs import load_pool

    url, folder = served
    batch = [(source.image, source.question) for source in load_pool("sandbox/0", 60)]
    near = TransformersModel(folder, device="cpu", max_new_tokens=16).generate(batch)
    far = EndpointModel(folder, base_url=url, max_new_tokens=16, connections=4)
    assert texts(far.generate(batch)) == texts(near)
    assert len(set(texts(near))) > 5
    assert far.usage.counted == len({(image.tobytes(), text) for image, text in batch})
    assert far.usage.tokens_out > 0
    assert far.served == (f"{folder}@main",)


@pytest.mark.tiny
def test_transformers_serve_names_a_model_that_it_does_not_have(served):
    url, _ = served
    with pytest.raises(ModelError, match="knows no model 'no-such-model'"):
        EndpointModel("no-such-model", base_url=url).generate(ONE)


@pytest.mark.tiny
def test_transformers_serve_declines_a_request_with_an_unknown_option(served):
    url, folder = served
    [answer] = EndpointModel(folder, base_url=url, extra={"top_k": 1}).generate(ONE)
    assert re.search("status 422.*top_k", answer.problem)
