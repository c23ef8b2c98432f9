"""Rows of the sixteen benchmarks in the form that lmms-eval's tasks read, a few of each, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

RED = {"coco-captions": 100}  # the red of the first picture; the others follow


def picture(red: int = 0) -> Image.Image:
    return Image.new("RGB", (100, 50), (red, 80, 80))


def _people(*answers: str) -> list[dict[str, Any]]:
    return [{"answer": a, "answer_confidence": "yes", "answer_id": n} for n, a in enumerate(answers, start=1)]


def _options(**known: str) -> dict[str, str]:
    return {letter: known.get(letter, "") for letter in "ABCDEFGHI"}


def _mmbench(index: int, question: str, answer: str, **options: str) -> dict[str, Any]:
    told = {"index": index, "question": question, "answer": answer, "hint": "nan", "category": "c", "L2-category": "l"}
    return told | options | {"source": "s", "split": "dev"}


def _mmmu(number: int, answer: str, *, kind: str = "multiple-choice", pictures: int = 1) -> dict[str, Any]:
    question = " ".join([f"mmmu {number}", *(f"<image {n + 1}>" for n in range(pictures))])
    return {
        "id": f"validation_Art_{number}",
        "question": question,
        "options": "['cat', 'dog']" if kind == "multiple-choice" else "[]",
        "question_type": kind,
        "answer": answer,
        "image_1": picture(),
        "image_2": picture() if pictures == 2 else None,
    }


ROWS: Mapping[str, tuple[str, Sequence[Mapping[str, Any]]]] = {  # benchmark -> split, rows; "image" is added to them
    "vqav2": ("validation", [
        {"question": f"vqav2 {n} ?", "question_id": n, "answer": "two", "answers": _people(*["two"] * 2, *["3"] * 8)}
        for n in range(4)
    ]),
    "gqa": ("testdev", [{"question": f"gqa {n} ?", "answer": "left", "imageId": str(n)} for n in range(4)]),
    "okvqa": ("val2014", [
        {"question": f"okvqa {n} ?", "question_id": n, "answer": "surfing", "answers": ["surfing"] * 5 + ["surf"] * 5}
        for n in range(4)
    ]),
    "ai2d": ("test", [
        {"question": f"ai2d {n} ?", "options": ["root", "leaf", "stem"], "answer": "1"} for n in range(4)
    ]),
    "docvqa": ("validation", [
        {"question": f"docvqa {n} ?", "questionId": n, "answers": ["Hello"]} for n in range(4)
    ]),
    "chartqa": ("test", [
        {"question": f"chartqa {n} ?", "answer": "100", "type": "human_test" if n < 2 else "augmented_test"}
        for n in range(4)
    ]),
    "chartqa-human": ("test", [
        {"question": f"chartqa {n} ?", "answer": "100", "type": "human_test" if n < 2 else "augmented_test"}
        for n in range(4)
    ]),
    "refcoco-box": ("val", [
        {"answer": [f"refcoco {n} thing"], "bbox": [10.0, 10.0, 50.0, 20.0], "question_id": str(n)} for n in range(4)
    ]),
    "coco-captions": ("val", [
        {"answer": said, "question_id": f"COCO_val2014_{n:012d}.jpg", "id": n}
        for n, said in enumerate([
            ["a red cat sleeps on a mat", "the red cat on its mat"],
            ["two dogs run after a ball", "dogs are running"],
            ["a bowl of soup", "hot soup in a white bowl"],
            ["a train at the station"],
        ])
    ]),
    "mmbench-v1.0": ("dev", [
        _mmbench(1, "mmbench one ?", "A", A="cat", B="dog", C="nan", D="nan"),
        _mmbench(1000001, "mmbench turned one ?", "B", A="dog", B="cat", C="nan", D="nan"),
        _mmbench(2, "mmbench two ?", "A", A="hat", B="cap", C="nan", D="nan"),
        _mmbench(1000002, "mmbench turned two ?", "B", A="cap", B="hat", C="nan", D="nan"),
    ]),
    "mmt-bench": ("val", [
        {"index": n, "question": f"mmt {n} ?", "answer": "B", "l2-category": "ocr", "split": "VAL"}
        | _options(A="cat", B="dog")
        for n in range(4)
    ]),
    "seed-bench-image": ("test", [
        {"question": f"seed {n} ?", "answer": "B", "question_id": str(n), "data_type": "video" if n == 4 else "image",
         "choice_a": "1", "choice_b": "2", "choice_c": "3", "choice_d": "4",
         "image": [picture()] * (3 if n == 4 else 1)}
        for n in range(5)
    ]),
    "mme": ("test", [
        {"question": f"mme {category} {n} {right} Please answer yes or no.", "answer": right,
         "question_id": f"{n}.jpg", "category": category}
        for category, numbers in (("count", (0, 1)), ("OCR", (2, 3)), ("code_reasoning", (4,)))
        for n in numbers
        for right in ("Yes", "No")
    ]),
    "mmmu": ("validation", [
        _mmmu(0, "A"), _mmmu(1, "A"), _mmmu(2, "12", kind="open"), _mmmu(3, "A", pictures=2),
    ]),
    "mmstar": ("val", [
        {"index": n, "question": f"mmstar {n} ?", "answer": "C", "category": "math", "l2_category": part}
        for n, part in enumerate(["geometry", "geometry", "geometry", "statistical reasoning"])
    ]),
    "realworldqa": ("test", [
        {"question": f"realworldqa {n} ?", "answer": "B" if n < 3 else "Downhill"} for n in range(4)
    ]),
    "shapes": ("test", [{"question": f"shapes {n} ?", "answer": "Red"} for n in range(3)]),
    "pope": ("test", [{"question": f"pope {n} ?", "answer": "yes", "question_id": str(n)} for n in range(4)]),
}  # fmt: skip


def save_rows(folder: Path, names: Sequence[str], *, parquet: Sequence[str] = ()) -> Path:
    """Save each benchmark's rows in a folder of its name: as a `DatasetDict`, or as one Parquet file."""
    from datasets import Dataset, DatasetDict

    for name in names:
        split, rows = ROWS[name]
        shown = [
            row if "image_1" in row else {"image": picture(RED.get(name, 0) + n), **row} for n, row in enumerate(rows)
        ]
        made = Dataset.from_list(shown)
        if name in parquet:
            (folder / name).mkdir(parents=True)
            made.to_parquet(folder / name / f"{split}-00000-of-00001.parquet")
        else:
            DatasetDict({split: made}).save_to_disk(folder / name)
    return folder
