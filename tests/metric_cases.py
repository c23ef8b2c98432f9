"""1,000 generated cases of each metric, scored by us and by lmms-eval; `python tests/metric_cases.py` prints the counts.

Every disagreement must have an explanation, which is a rule that can be checked, or it is counted as unexplained.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from auditdm.method import metrics

CASES = 1000
Explain = Callable[[Any, Any, Any], str]  # (case, ours, theirs) -> why they differ; "": unexplained

_TOLD = "two 2 none cat cats the a red Red surfing dont don't T-shirt 2,000 3.5 u.s. yes no its man's left/right"
_WORDS = _TOLD.split()
_MARKS = [" ", " ", " ", ", ", "-", "/", ". ", "?", "  ", " (", ") "]


def _phrase(draw: random.Random, longest: int = 4) -> str:
    text = draw.choice(_WORDS)
    for _ in range(draw.randrange(longest)):
        text += draw.choice(_MARKS) + draw.choice(_WORDS)
    return text + draw.choice(["", "", "", ".", "!", " "])


def _typos(draw: random.Random, text: str) -> str:
    letters = list(text)
    for _ in range(draw.randrange(4)):
        at = draw.randrange(len(letters) + 1)
        letters[at : at + draw.randrange(2)] = draw.choice(["", "x", " ", "E"])
    return "".join(letters)


def vqa_cases(draw: random.Random) -> Iterator[tuple[str, list[str]]]:
    for _ in range(CASES):
        pool = [_phrase(draw, 2) for _ in range(3)]
        people = [draw.choice(pool) for _ in range(10)]
        yield draw.choice([*pool, pool[0].upper(), _phrase(draw)]), people


def vqav2_theirs(case: tuple[str, list[str]]) -> float:
    from lmms_eval.tasks.vqav2.utils import vqav2_process_results

    people = [{"answer": text, "answer_id": n} for n, text in enumerate(case[1])]
    return float(vqav2_process_results({"answers": people, "question_id": 1}, [case[0]])["exact_match"])


def form_cases(draw: random.Random) -> Iterator[tuple[str]]:
    for _ in range(CASES):
        yield (_phrase(draw, 5),)


def form_theirs(case: tuple[str]) -> str:
    from lmms_eval.tasks._task_utils.vqa_eval_metric import EvalAIAnswerProcessor

    rules = EvalAIAnswerProcessor()
    text = case[0].replace("\n", " ").replace("\t", " ").strip()
    return str(rules.process_digit_article(rules.process_punctuation(text)))


def _form_why(case: tuple[str], _ours: str, _theirs: str) -> str:
    return "several spaces are one before the marks are taken out" if "  " in case[0] else ""


def okvqa_theirs(case: tuple[str, list[str]]) -> float:
    from lmms_eval.tasks.ok_vqa.utils import ok_vqa_process_results

    return float(ok_vqa_process_results({"answers": list(case[1]), "question_id": 1}, [case[0]])["exact_match"])


def _okvqa_why(case: tuple[str, list[str]], _ours: float, _theirs: float) -> str:
    texts = [case[0], *case[1]]
    if any("'s" in text for text in texts):
        return "OK-VQA's rules part 's off"
    return "OK-VQA's rules drop commas and question marks first" if any(set(",?") & set(t) for t in texts) else ""


def anls_cases(draw: random.Random) -> Iterator[tuple[str, list[str]]]:
    for _ in range(CASES):
        right = [_phrase(draw) for _ in range(draw.randrange(1, 4))]
        yield draw.choice([_typos(draw, draw.choice(right)), _phrase(draw)]), right


def anls_theirs(case: tuple[str, list[str]]) -> float:
    from lmms_eval.api.metrics import anls

    return float(anls(references=case[1], predictions=[case[0]])["anls"])


def relaxed_cases(draw: random.Random) -> Iterator[tuple[str, str]]:
    texts = ["red", "Red", "0", "0.0", "0%", "nan", "1_000", "1,000", "1e3", "", "-5", "+5", "12 %", "5%%", ".5", "5."]
    for _ in range(CASES):
        right = draw.choice(
            [str(draw.randrange(200)), f"{draw.uniform(-9, 9):.2f}", f"{draw.randrange(100)}%", *texts[:9]]
        )
        number = re.fullmatch(r"(-?[\d.]+)(%?)", right)
        near = f"{float(number[1]) * draw.choice([1, 1.04, 1.06, 0.96]):.4g}{number[2]}" if number else right.upper()
        yield draw.choice([near, near, right, *draw.sample(texts, 2)]), right


def relaxed_theirs(case: tuple[str, str]) -> bool:
    from lmms_eval.tasks.chartqa.utils import relaxed_correctness

    return bool(relaxed_correctness(*case))


def _relaxed_why(case: tuple[str, str], _ours: bool, _theirs: bool) -> str:
    if re.fullmatch(r"[-+]?0+\.?0*%?", case[1]):
        return "the reference is zero: lmms-eval compares the texts"
    if any("_" in text or "nan" in text for text in case):
        return "Python reads 1_000 and nan as numbers, which nobody means"
    return "a space before the per cent sign" if any(" %" in text for text in case) else ""


def box_cases(draw: random.Random) -> Iterator[tuple[list[float], list[float]]]:
    def box() -> list[float]:
        left, right = sorted([draw.random(), draw.random()])
        top, bottom = sorted([draw.random(), draw.random()])
        return [left, top, right, bottom]

    for number in range(CASES):
        said, right = box(), box()
        if number % 10 == 0:
            said = [said[2], said[1], said[0], said[3]]  # turned over
        if number % 10 == 1:
            said = [0.0, 0.0, 0.0, 0.0]  # what the task makes of an unreadable reply
        if number % 10 > 6:
            said = [place + draw.uniform(-0.03, 0.03) for place in right]
        yield said, right


def box_theirs(case: tuple[list[float], list[float]]) -> float:
    from lmms_eval.tasks.refcoco.utils_rec import compute_iou

    return float(compute_iou(*case))


def _box_why(case: tuple[list[float], list[float]], _ours: float, _theirs: float) -> str:
    turned = any(box[0] > box[2] or box[1] > box[3] for box in case)
    return "a box turned over has a negative area in lmms-eval" if turned else ""


def choice_cases(draw: random.Random) -> Iterator[tuple[str, dict[str, str]]]:
    words = ["cat", "dog", "red car", "car", "two men", "on the mat", "12", "blue"]
    forms = [
        "{0}", "{0}", "{0}.", "({0})", "{0}. {1}", "({0}) {1}", "{0}: {1}", "{0}) {1}", " {0}\n", "**{0}**", "{l}", "({l})",
        "The answer is {0}.", "The correct answer is ({0}).", "Answer: {0}", "I choose option {0}", "The best option is {0}",
        "It shows {1}, so {0}", "Not A but {0}", "{1}", "It is {1}.", "A man runs", "I see nothing", "", "none of them",
        "Because of the hat, the answer is {0}: {1}", "Option {0} fits best", "Both A and B", "An Apple",
    ]  # fmt: skip
    for _ in range(CASES):
        options = dict(zip("ABCD", draw.sample(words, 4), strict=True))
        letter = draw.choice("ABCD")
        yield draw.choice(forms).format(letter, options[letter], l=letter.lower()), options


def choice_ours(case: tuple[str, dict[str, str]]) -> str:
    return metrics.chosen_option(*case) or ""


def choice_theirs(case: tuple[str, dict[str, str]]) -> str:
    from lmms_eval.tasks._task_utils.mcq_extract import extract_mcq_answer

    return str(extract_mcq_answer(case[0], choices=list(case[1])))


def mmmu_theirs(case: tuple[str, dict[str, str]]) -> str:
    from lmms_eval.tasks._task_utils.mmmu_mcq_utils import parse_mmmu_multi_choice_response as parse

    drawn = set()
    for seed in range(8):
        random.seed(seed)
        drawn.add(str(parse(case[0], list(case[1]), dict(case[1]))))
    return drawn.pop() if len(drawn) == 1 else "drawn at random"


def _choice_why(case: tuple[str, dict[str, str]], ours: str, theirs: str) -> str:
    reply = case[0]
    if theirs == "drawn at random":
        return "lmms-eval draws a letter where it finds none"
    if not theirs:
        return "lmms-eval does not read " + ("a small letter" if len(reply) < 4 else "the option's words")
    if ours == "" and reply == "Both A and B":
        return "two options are named: lmms-eval takes one"
    if reply.startswith(("A man", "An Apple", "I see")) or re.search(rf"{theirs}[a-z]", reply):
        return "lmms-eval takes the capital of a word for an option"
    if re.search(rf"\b{ours}: ", reply) and len(reply.split()) > 5:
        return "MMMU reads the option's words before a letter with a colon"
    if reply.startswith("Not A") or "so " in reply:
        return "lmms-eval's order of forms prefers another letter"
    return ""


def yes_cases(draw: random.Random) -> Iterator[tuple[str]]:
    starts = [
        "yes",
        "no",
        "Yes",
        "No",
        "YES",
        "y",
        "n",
        "",
        "Not sure",
        "Nobody",
        "I know",
        "yesterday",
        "Maybe",
        "None",
    ]
    ends = ["", "", ".", "!", ", there is", ", there is no dog", " it is", " ", "\n", ". No."]
    for _ in range(CASES):
        yield (draw.choice(["", "", "", "I think ", "The answer is "]) + draw.choice(starts) + draw.choice(ends),)


def yes_ours(case: tuple[str]) -> str:
    return metrics.yes_or_no(*case) or "other"


def mme_theirs(case: tuple[str]) -> str:
    from lmms_eval.tasks.mme.utils import parse_pred_ans

    return str(parse_pred_ans(*case))


def pope_theirs(case: tuple[str]) -> str:
    from lmms_eval.tasks.pope.utils import pope_process_results

    for answer in ("yes", "no"):
        if pope_process_results({"answer": answer, "question_id": 1}, list(case))["pope_accuracy"]["score"]:
            return answer
    return "other"


def _mme_why(case: tuple[str], ours: str, theirs: str) -> str:
    head = case[0].lower().strip()[:4]
    if theirs != "other" and theirs in head:
        return "MME finds the letters of yes or no in the first four of another word"
    return "MME reads only the first four letters" if theirs == "other" and ours != "other" else ""


def _pope_why(_case: tuple[str], ours: str, theirs: str) -> str:
    return "POPE takes nothing but the bare word" if theirs == "other" and ours != "other" else ""


def caption_cases(draw: random.Random) -> tuple[list[str], list[list[str]]]:
    """Captions of 1,000 pictures, and five references for each, one corpus."""
    subjects = [
        "a man",
        "two dogs",
        "the red cat",
        "a woman's hand",
        "an old train",
        "kids",
        "a t-shirt",
        "some people",
    ]
    verbs = ["rides", "is eating", "runs after", "doesn't see", "sits on", "plays with", "stands near", "holds"]
    objects = ["a ball", "the mat", "hot soup", "a kite", "2,000 birds", "a bike", "the U.S. flag", "a dog, and a cat"]
    ends = ["", ".", " in the park.", " at night", ", outside!", " (indoors)"]

    def caption() -> str:
        return " ".join(draw.choice(part) for part in (subjects, verbs, objects)) + draw.choice(ends)

    right = [[caption() for _ in range(5)] for _ in range(CASES)]
    said = [draw.choice([*of, caption(), _typos(draw, of[0])]) for of in right]
    return said, right


CHECKS: dict[str, tuple[Any, Any, Any, Explain]] = {
    "plain_answer, VQAv2": (form_cases, lambda c: metrics.plain_answer(*c), form_theirs, _form_why),
    "vqa_accuracy, VQAv2": (vqa_cases, lambda c: metrics.vqa_accuracy(*c), vqav2_theirs, lambda *_: ""),
    "vqa_accuracy, OK-VQA": (vqa_cases, lambda c: metrics.vqa_accuracy(*c), okvqa_theirs, _okvqa_why),
    "anls, DocVQA": (anls_cases, lambda c: metrics.anls(*c), anls_theirs, lambda *_: ""),
    "relaxed_accuracy, ChartQA": (relaxed_cases, lambda c: metrics.relaxed_accuracy(*c), relaxed_theirs, _relaxed_why),
    "box_iou, RefCOCO": (box_cases, lambda c: metrics.box_iou(*c), box_theirs, _box_why),
    "chosen_option, MMStar": (choice_cases, choice_ours, choice_theirs, _choice_why),
    "chosen_option, MMMU": (choice_cases, choice_ours, mmmu_theirs, _choice_why),
    "yes_or_no, MME": (yes_cases, yes_ours, mme_theirs, _mme_why),
    "yes_or_no, POPE": (yes_cases, yes_ours, pope_theirs, _pope_why),
}


def compare(check: str) -> tuple[int, Counter[str], list[Any]]:
    """How many of 1,000 cases agree; why the others do not; and those that nothing explains."""
    cases, ours, theirs, explain = CHECKS[check]
    agreed, why, unexplained = 0, Counter[str](), []
    for case in cases(random.Random(check)):
        one, other = ours(case), theirs(case)
        if one == other or (isinstance(one, float) and abs(one - other) < 1e-9):
            agreed += 1
        elif reason := explain(case, one, other):
            why[reason] += 1
        else:
            unexplained.append((case, one, other))
    return agreed, why, unexplained


def main() -> None:
    for check in CHECKS:
        agreed, why, unexplained = compare(check)
        print(f"{check}: {agreed} of {CASES} agree; {len(unexplained)} unexplained {unexplained[:4] or ''}")
        for reason, count in why.most_common():
            print(f"    {count}: {reason}")


if __name__ == "__main__":
    main()
