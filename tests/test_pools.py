import json
import random

import numpy as np
import pytest
from PIL import Image, ImageFile

from auditdm.backends.pools import read_pool
from auditdm.errors import ConfigError
from auditdm.types import Source, picture_id


def plain(colour, size=(6, 4)):
    return Image.new("RGB", size, colour)


def folder_of(tmp_path, **pictures):
    for name, image in pictures.items():
        image.save(tmp_path / f"{name}.png")
    return tmp_path


def test_pictures_come_by_name_and_are_sources(tmp_path):
    pool = read_pool(folder_of(tmp_path, b=plain("blue"), a=plain("red"), c=plain("green")))
    assert (len(pool), pool.names, pool.skipped) == (3, ("a.png", "b.png", "c.png"), ())
    first = pool[0]
    assert isinstance(first, Source)
    assert (first.id, first.origin, first.question) == (picture_id(plain("red")), "a.png", None)
    assert (first.image.mode, first.image.getpixel((0, 0))) == ("RGB", (255, 0, 0))
    assert tuple(source.id for source in pool) == pool.ids
    assert [source.origin for source in pool[1:]] == ["b.png", "c.png"]
    assert pool[-1].origin == "c.png"


def test_subfolders_are_read_and_other_files_are_not(tmp_path):
    (tmp_path / "cats").mkdir()
    (tmp_path / ".cache").mkdir()
    plain("red").save(tmp_path / "cats" / "one.JPG", "JPEG")
    plain("blue").save(tmp_path / ".cache" / "thumb.png")
    (tmp_path / "README.txt").write_text("not a picture")
    assert read_pool(tmp_path).names == ("cats/one.JPG",)


@pytest.mark.parametrize("lenient", [False, True])  # lmms-eval makes Pillow lenient for the whole process
def test_a_corrupt_picture_among_good_ones_is_named_skipped_and_counted(tmp_path, caplog, monkeypatch, lenient):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    folder_of(tmp_path, a=plain("red"), m=plain("blue", (80, 80)), z=plain("green"))
    whole = (tmp_path / "m.png").read_bytes()
    (tmp_path / "m.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "n.gif").write_bytes(b"not a picture at all")
    pool = read_pool(tmp_path)
    assert pool.names == ("a.png", "z.png")
    assert [name for name, _ in pool.skipped] == ["m.png", "n.gif"]
    assert all(why for _, why in pool.skipped)
    assert "m.png: left out" in caplog.text
    assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_damage_of_any_sort_never_stops_the_reading(tmp_path, kind):
    plain("red").save(tmp_path / "a.png")
    chance = random.Random(kind)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    noise.save(tmp_path / f"whole.{kind.lower()}", kind)
    whole = (tmp_path / f"whole.{kind.lower()}").read_bytes()
    for number in range(40):
        broken = bytearray(whole[: chance.randrange(1, len(whole))] if number % 2 else whole)
        for _ in range(8):
            broken[chance.randrange(min(len(broken), 200))] = chance.randrange(256)
        (tmp_path / f"x{number}.{kind.lower()}").write_bytes(bytes(broken))
    pool = read_pool(tmp_path)
    assert "a.png" in pool.names
    assert len(pool) + len(pool.skipped) == 42


def test_the_same_pixels_are_one_picture(tmp_path):
    folder_of(tmp_path, a=plain("red"), b=plain("red"))
    plain("red").save(tmp_path / "c.bmp")
    pool = read_pool(tmp_path)
    assert pool.names == ("a.png",)
    assert pool.skipped == (("b.png", "same pixels as a.png"), ("c.bmp", "same pixels as a.png"))


def test_a_picture_is_turned_upright(tmp_path):
    image = plain("red", (6, 4))
    image.putpixel((0, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    image.save(tmp_path / "a.png", exif=exif)
    upright = read_pool(tmp_path)[0].image
    assert upright.size == (4, 6)
    assert upright.getpixel((3, 0)) == (0, 0, 255)


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.new("RGBA", (2, 2), (0, 0, 0, 0)), (255, 255, 255)),  # transparent: white paper
        (Image.new("RGBA", (2, 2), (255, 0, 0, 255)), (255, 0, 0)),
        (Image.new("L", (2, 2), 7), (7, 7, 7)),
        (Image.new("1", (2, 2), 1), (255, 255, 255)),
        (Image.new("P", (2, 2), 0), (0, 0, 0)),
        (Image.fromarray(np.full((2, 2), 0x8000, np.uint16)), (128, 128, 128)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, image, pixel):
    image.save(tmp_path / "a.png")
    found = read_pool(tmp_path)[0].image
    assert (found.mode, found.getpixel((0, 0))) == ("RGB", pixel)


def test_pixels_without_a_range_are_skipped(tmp_path):
    folder_of(tmp_path, a=plain("red"))
    Image.new("F", (2, 2), 0.5).save(tmp_path / "b.tiff")
    assert "32-bit pixels have no agreed range" in read_pool(tmp_path).skipped[0][1]


def test_limit_counts_good_pictures(tmp_path):
    folder_of(tmp_path, a=plain("red"), b=plain("red"), c=plain("green"), d=plain("blue"))
    assert read_pool(tmp_path, limit=2).names == ("a.png", "c.png")


def test_the_pools_own_questions(tmp_path):
    folder_of(tmp_path, a=plain("red"), b=plain("blue"))
    lines = [
        {"image": "b.png", "question": " What colour? "},
        {"image": "b.png", "question": "Another?"},
        {"image": "z.png", "question": "Where?"},
    ]
    (tmp_path / "questions.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    pool = read_pool(tmp_path)
    assert [source.question for source in pool] == [None, "What colour?"]
    assert [name for name, _ in pool.skipped] == ["questions.jsonl:3", "questions.jsonl:5"]
    assert "one per picture" in pool.skipped[0][1]
    assert "no picture z.png" in pool.skipped[1][1]


@pytest.mark.parametrize(
    "line", ["nonsense", '{"image": "a.png"}', '["a.png", "What?"]', '{"image": "a.png", "question": " "}']
)
def test_a_wrong_line_of_questions_is_shown(tmp_path, line):
    folder_of(tmp_path, a=plain("red"))
    (tmp_path / "questions.jsonl").write_text(line)
    with pytest.raises(ConfigError, match=r"questions\.jsonl:1: ") as caught:
        read_pool(tmp_path)
    assert line in str(caught.value)


def test_no_folder_a_file_and_an_empty_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere does not exist\. Give a folder of pictures"):
        read_pool(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds no pictures"):
        read_pool(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"a\.png is a file"):
        read_pool(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=r"holds 1 pictures and none can be read\. The last, a\.png:"):
        read_pool(tmp_path)


def test_a_file_that_changes_later_is_noticed(tmp_path):
    pool = read_pool(folder_of(tmp_path, a=plain("red"), b=plain("blue")))
    plain("green").save(tmp_path / "a.png")
    (tmp_path / "b.png").unlink()
    with pytest.raises(ConfigError, match=r"a\.png: was changed"):
        pool[0]
    with pytest.raises(ConfigError, match=r"b\.png: was readable before"):
        pool[1]
