import bz2
import doctest
import gzip
import io
import json
import logging
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from auditdm.backends import record_pools, shard_records, table_records
from auditdm.backends.pools import read_pool
from auditdm.backends.record_pools import read_coco, read_dataset, read_parquet, read_records, read_shards, record_kind
from auditdm.errors import ConfigError
from auditdm.runs.pictures import Pictures
from auditdm.types import Source, picture_id

COLOURS = ["red", "green", "blue", "yellow", "black", "white", "orange", "purple", "brown", "pink", "gray", "cyan"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("AUDITDM_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def decoded(monkeypatch):
    """How many pictures were decoded."""
    count = []
    real = record_pools._decoded
    monkeypatch.setattr(record_pools, "_decoded", lambda picture: count.append(1) or real(picture))
    return count


def plain(colour, size=(6, 4)):
    return Image.new("RGB", size, colour)


def stored(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(colour):
    return stored(plain(colour))


def parquet(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def tar(path, members):
    """A tar file of (name, content), in this order."""
    with tarfile.open(path, "w") as opened:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    return str(path)


def coco(folder, listing, *names, file="list.json"):
    for name, colour in zip(names, COLOURS, strict=False):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        plain(colour).save(folder / name)
    (folder / file).write_text(json.dumps(listing))
    return str(folder / file)


def colours(pool):
    names = {picture_id(plain(colour)): colour for colour in COLOURS}
    sources = list(pool)
    assert [source.id for source in sources] == list(pool.ids)
    return [names[picture_id(source.image)] for source in sources]


def questions(pool):
    return [source.question for source in pool]


# One pool of each kind with the same pictures and questions.


def as_parquet(folder, pictures, asked):
    return f"parquet/{parquet(folder / 'a.parquet', {'image': pictures, 'question': asked}, row_group_size=3)}"


def as_dataset(folder, pictures, asked):
    import datasets

    rows = {"image": [{"bytes": one, "path": None} for one in pictures], "question": asked}
    features = datasets.Features({"image": datasets.Image(), "question": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(folder / "saved"))
    return f"hf-dataset/{folder / 'saved'}"


def as_shards(folder, pictures, asked):
    members = []
    for number, (picture, question) in enumerate(zip(pictures, asked, strict=True)):
        members.append((f"{number:03}.png", picture))
        if question is not None:
            members.append((f"{number:03}.txt", question.encode()))
    return f"webdataset/{tar(folder / 'a.tar', members)}"


def as_coco(folder, pictures, asked):
    images = [{"id": number, "file_name": f"{number:03}.png"} for number in range(len(pictures))]
    for image, picture in zip(images, pictures, strict=True):
        (folder / image["file_name"]).write_bytes(picture)
    entries = [{"image_id": n, "question": q, "question_id": n} for n, q in enumerate(asked) if q is not None]
    (folder / "a.json").write_text(json.dumps({"images": images, "questions": entries}))
    return f"coco/{folder / 'a.json'}"


every_kind = pytest.mark.parametrize("made", [as_parquet, as_dataset, as_shards, as_coco])


def test_the_examples_hold():
    assert doctest.testmod(record_pools).failed == 0


@every_kind
def test_a_pool_of_every_kind_is_a_sequence_of_sources(tmp_path, made):
    spec = made(tmp_path, [png(c) for c in COLOURS], [f" {c}? " if n % 2 else None for n, c in enumerate(COLOURS)])
    pool = read_records(spec)
    assert (len(pool), pool.skipped, colours(pool)) == (12, (), COLOURS)
    assert questions(pool) == [f"{c}?" if n % 2 else None for n, c in enumerate(COLOURS)]
    assert isinstance(pool[0], Source)
    assert (pool[0].image.mode, pool[0].image.size) == ("RGB", (6, 4))
    assert [pool[n].id for n in (7, 0, 11, 3, 4)] == [pool.ids[n] for n in (7, 0, 11, 3, 4)]
    assert pool[-1].id == pool.ids[-1]
    assert [source.id for source in pool[2:4]] == list(pool.ids[2:4])
    assert len({source.origin for source in pool}) == 12
    with pytest.raises(IndexError):
        pool[12]
    pictures = Pictures(pool)
    assert pictures[pool.ids[5]].getpixel((0, 0)) == plain(COLOURS[5]).getpixel((0, 0))


@every_kind
def test_damage_is_named_skipped_and_counted_and_the_same_pixels_are_one_picture(tmp_path, made, caplog):
    half = stored(Image.effect_noise((60, 60), 90))
    pictures = [png("red"), half[: len(half) // 2], stored(plain("red"), "BMP"), b"no picture", png("blue")]
    pool = read_records(made(tmp_path, pictures, [None] * 5))
    assert colours(pool) == ["red", "blue"]
    origins = [origin for origin, _ in pool.skipped]
    assert [any(n in origin for n in (f"row {k}", f"{k:03}.png")) for k, origin in zip((1, 2, 3), origins, strict=True)]
    assert "truncated" in pool.skipped[0][1]
    assert pool.skipped[1][1] == f"same pixels as {pool[0].origin}"
    assert "cannot identify image file" in pool.skipped[2][1]
    assert f"{origins[0]}: left out: " in caplog.text


@every_kind
def test_the_second_start_decodes_nothing(tmp_path, made, decoded, cache):
    pictures = [png("red"), b"no picture", png("red"), png("blue")]
    spec = made(tmp_path, pictures, ["a", "b", "c", "d"])
    first = read_records(spec)
    assert len(decoded) == 4
    again = read_records(spec)
    assert len(decoded) == 4
    assert (again.ids, again.skipped, again.places) == (first.ids, first.skipped, first.places)
    assert len(first.skipped) == 2
    assert questions(again) == ["a", "d"]
    assert json.loads(first.index_file.read_text())["ids"] == list(first.ids)
    assert len(list((cache / "pools").iterdir())) == (2 if made is as_coco else 1)


@every_kind
def test_a_limit_stops_the_pass_early_and_a_higher_one_goes_on_from_there(tmp_path, made, decoded, monkeypatch):
    pictures = [png("red"), b"no picture", png("red"), *(png(c) for c in COLOURS[1:]), b"no picture"]
    spec = made(tmp_path, pictures, [None] * len(pictures))
    pool = read_records(spec, 2)
    assert (colours(pool), len(pool.skipped)) == (["red", "green"], 2)
    decoded.clear()
    assert colours(read_records(spec, 5)) == COLOURS[:5]
    assert len(decoded) == 3 + 5  # three new ones in the pass, five asked for
    assert len(read_records(spec)) == 12
    decoded.clear()
    if made is as_shards:  # and no shard is listed again
        monkeypatch.setattr(shard_records.TarMembers, "places", None)
    assert read_records(spec, 2).skipped == pool.skipped
    assert read_records(spec, 2).ids == pool.ids
    assert len(read_records(spec).skipped) == 3
    assert decoded == []


@every_kind
def test_an_interrupted_pass_goes_on_where_it_stopped(tmp_path, made, monkeypatch, decoded):
    spec = made(tmp_path, [png(c) for c in COLOURS], [None] * 12)
    counting = record_pools._decoded

    def interrupted(picture):
        if len(decoded) == 7:
            raise KeyboardInterrupt
        return counting(picture)

    with monkeypatch.context() as patch:
        patch.setattr(record_pools, "_decoded", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read_records(spec)
    decoded.clear()
    pool = read_records(spec)
    assert (len(decoded), pool.skipped, colours(pool)) == (5, (), COLOURS)


@every_kind
def test_another_content_is_another_pool(tmp_path, made, decoded):
    spec = made(tmp_path, [png("red"), png("blue")], [None, None])
    assert colours(read_records(spec)) == ["red", "blue"]
    for file in tmp_path.rglob("*"):
        if file.is_dir():
            for inside in file.iterdir():
                inside.unlink()
        else:
            file.unlink()
    assert made(tmp_path, [png("red"), png("green"), png("pink")], [None] * 3) == spec
    decoded.clear()
    assert colours(read_records(spec)) == ["red", "green", "pink"]
    assert len(decoded) == 6


@every_kind
def test_every_picture_unreadable_and_no_record_at_all(tmp_path, made):
    spec = made(tmp_path, [b"no", b"picture"], [None, None])
    with pytest.raises(ConfigError, match=r"none of 2 records can be used\. The last, .*: cannot identify image file"):
        read_records(spec)


def test_a_picture_can_be_of_any_sort(tmp_path):
    turned, exif = plain("red"), Image.Exif()
    turned.putpixel((0, 0), (0, 0, 255))
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    frames = [plain("red", (8, 8)), plain("blue", (8, 8))]
    wide = np.full((4, 6), 0x8000, np.uint16)
    cases = [
        (stored(turned, exif=exif), (4, 6), (3, 0), (0, 0, 255)),
        (stored(Image.new("RGBA", (5, 4), (0, 0, 0, 0))), (5, 4), (0, 0), (255, 255, 255)),
        (stored(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), (8, 8), (0, 0), (255, 0, 0)),
        (stored(Image.fromarray(wide)), (6, 4), (0, 0), (128, 128, 128)),
        (stored(frames[0], "GIF", save_all=True, append_images=frames[1:]), (8, 8), (0, 0), (255, 0, 0)),
    ]
    pool = read_records(as_parquet(tmp_path, [case[0] for case in cases[:4]] + [cases[4][0]], [None] * 5))
    # The CMYK picture and the first frame are the same pixels: one picture.
    assert [why for _, why in pool.skipped] == ["same pixels as a.parquet row 2"]
    for source, (_, size, spot, pixel) in zip(pool, cases[:4], strict=True):
        assert (source.image.size, source.image.mode, source.image.getpixel(spot)) == (size, "RGB", pixel)


def bomb():
    """A picture of a few bytes that says it has 3.6 milliard pixels."""
    small = bytearray(png("red"))
    small[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    small[29:33] = zlib.crc32(small[12:29]).to_bytes(4, "big")
    return bytes(small)


def damaged_avif():
    """One that makes Pillow raise a RuntimeError."""
    return stored(plain("green", (32, 32)), "AVIF").replace(b"av01", b"av0?")


GREY = ("RGB", (4, 6), (128, 128, 128), (0, 0, 0))  # mode, size, upper right pixel, upper left pixel


def turned_grey(mode, kind):
    """A grey picture of 6 x 4 with a light upper left pixel, to be turned by 90 degrees clockwise."""
    pixels = np.zeros((4, 6), np.uint16)
    pixels[0, 0] = 0x8000
    exif = Image.Exif()
    exif[0x0112] = 6
    return stored(Image.fromarray(pixels if mode == "I;16" else (pixels >> 8).astype(np.uint8)), kind, exif=exif)


@every_kind
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_a_picture_is_turned_upright_whether_it_is_a_file_or_lies_in_one(tmp_path, made, mode, kind):
    found = read_records(made(tmp_path, [turned_grey(mode, kind)], [None]))[0].image
    assert (found.mode, found.size, found.getpixel((3, 0)), found.getpixel((0, 0))) == GREY


@every_kind
def test_bombs_and_damaged_avif_are_left_out(tmp_path, made):
    pool = read_records(made(tmp_path, [bomb(), png("red"), damaged_avif()], [None] * 3))
    assert colours(pool) == ["red"]
    assert "decompression bomb" in pool.skipped[0][1]
    assert len(pool.skipped) == 2


# Folders of pictures: what test_pools.py does not ask.


def test_folder_bomb(tmp_path):
    (tmp_path / "a.png").write_bytes(bomb())
    png_file = tmp_path / "b.png"
    png_file.write_bytes(png("red"))
    pool = read_pool(tmp_path)
    assert pool.names == ("b.png",)
    assert "decompression bomb" in pool.skipped[0][1]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_folder_the_first_frame_of_an_animation(tmp_path, kind):
    frames = [plain("red", (16, 16)), plain("blue", (16, 16))]
    frames[0].save(tmp_path / f"a.{kind.lower()}", kind, save_all=True, append_images=frames[1:])
    red, _, blue = read_pool(tmp_path)[0].image.getpixel((8, 8))
    assert (red > 250, blue < 5) == (True, True)


@pytest.mark.parametrize("ending", ["jpg", "tiff"])
def test_folder_cmyk_has_the_colours_of_print(tmp_path, ending):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / f"a.{ending}")
    assert read_pool(tmp_path)[0].image.getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (Image.new("P", (2, 2), 0), {"transparency": 0}),
        (Image.new("RGB", (2, 2), (1, 2, 3)), {"transparency": (1, 2, 3)}),
        (Image.new("LA", (2, 2), (0, 0)), {}),
    ],
)
def test_folder_every_sort_of_transparency_is_white(tmp_path, image, options):
    image.save(tmp_path / "a.png", **options)
    assert read_pool(tmp_path)[0].image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_folder_grey_of_8_and_16_bits_is_scaled_and_turned_upright(tmp_path, mode, kind):
    (tmp_path / f"a.{kind.lower()}").write_bytes(turned_grey(mode, kind))
    found = read_pool(tmp_path)[0].image
    assert (found.mode, found.size, found.getpixel((3, 0)), found.getpixel((0, 0))) == GREY


def test_folder_16_bit_of_every_format(tmp_path):
    for number, kind in enumerate(("PNG", "TIFF", "JPEG2000")):
        Image.fromarray(np.full((4, 6 + number), 0x8000, np.uint16)).save(tmp_path / f"{number}.img", kind)
        (tmp_path / f"{number}.img").rename(tmp_path / f"{number}.{['png', 'tif', 'jp2'][number]}")
    assert [source.image.getpixel((0, 0)) for source in read_pool(tmp_path)] == [(128, 128, 128)] * 3


def test_folder_16_bit_pgm(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n1 1\n65535\n\x80\x00")
    assert read_pool(tmp_path)[0].image.getpixel((0, 0)) == (128, 128, 128)


def test_folder_damaged_avif(tmp_path):
    (tmp_path / "a.png").write_bytes(png("red"))
    (tmp_path / "b.avif").write_bytes(damaged_avif())
    assert [name for name, _ in read_pool(tmp_path).skipped] == ["b.avif"]


def test_folder_mpo(tmp_path):
    plain("red").save(tmp_path / "a.mpo", "MPO", save_all=True, append_images=[plain("blue")])
    assert len(read_pool(tmp_path)) == 1


# The index.


def test_pictures_of_a_list_that_change_between_two_starts_are_read_anew(tmp_path, decoded):
    spec = coco(tmp_path, {"images": [{"id": n, "file_name": f"{n}.png"} for n in range(3)]}, "0.png", "1.png")
    plain("gray").save(tmp_path / "9.png")  # nobody's
    assert [why for _, why in read_coco(spec).skipped] == [f"list.json names it and {tmp_path} does not have it"]
    plain("pink").save(tmp_path / "0.png")
    assert colours(read_coco(spec)) == ["pink", "green"]
    plain("cyan").save(tmp_path / "2.png")
    assert colours(read_coco(spec)) == ["pink", "green", "cyan"]
    (tmp_path / "1.png").write_bytes(b"damaged")
    assert colours(read_coco(spec)) == ["pink", "cyan"]
    decoded.clear()
    assert len(read_coco(spec)) == 2
    assert decoded == []


def test_a_picture_that_changes_during_the_run_is_noticed_and_the_index_dropped(tmp_path, cache):
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        plain(colour).save(tmp_path / name)
    pool = read_parquet(parquet(tmp_path / "x.parquet", {"image_path": ["a.png", "b.png"]}))
    plain("green").save(tmp_path / "a.png")
    (tmp_path / "b.png").unlink()
    assert list((cache / "pools").iterdir()) == [pool.index_file]
    with pytest.raises(ConfigError, match=r"x\.parquet row 0 was changed .* Give the command again"):
        pool[0]
    assert not pool.index_file.exists()
    with pytest.raises(ConfigError, match="picture 1 was readable before and is not now"):
        pool[1]
    assert colours(read_parquet(str(tmp_path / "x.parquet"))) == ["green"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"ids": ["a"], "places": [], "skipped": []}', b"\xff"])
def test_a_damaged_index_is_written_anew(tmp_path, cache, content, caplog):
    spec = as_parquet(tmp_path, [png("red")], [None])
    index = read_records(spec).index_file
    whole = index.read_bytes()
    index.write_bytes(content)
    assert colours(read_records(spec)) == ["red"]
    assert index.read_bytes() == whole
    assert "cannot be used and is written anew" in caplog.text
    assert [file.name for file in (cache / "pools").iterdir()] == [index.name]


def test_the_cache_folder_that_cannot_be_written_costs_a_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "occupied").write_text("a file")
    monkeypatch.setenv("AUDITDM_CACHE_DIR", str(tmp_path / "occupied"))
    assert colours(read_records(as_parquet(tmp_path, [png("red")], [None]))) == ["red"]
    assert "the next start decodes again" in caplog.text


def test_the_index_is_in_the_users_cache_folder(tmp_path, monkeypatch):
    spec = as_parquet(tmp_path, [png("red")], [None])
    monkeypatch.delenv("AUDITDM_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert read_records(spec).index_file.parent == tmp_path / "xdg" / "auditdm" / "pools"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert read_records(spec).index_file.parent == tmp_path / "home" / ".cache" / "auditdm" / "pools"


def test_progress_is_logged_and_saved_on_the_way(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(record_pools, "SAVE_EVERY", 5)
    saves = []
    real = record_pools._store
    monkeypatch.setattr(record_pools, "_store", lambda path, found: saves.append(found["looked"]) or real(path, found))
    with caplog.at_level(logging.INFO, "auditdm.backends.record_pools"):
        read_records(as_parquet(tmp_path, [png(c) for c in COLOURS], [None] * 12))
    assert saves == [5, 10, 12]
    assert "10 records looked through, 10 pictures" in caplog.text


def test_many_left_out_are_counted_in_the_log_and_all_named_in_the_pool(tmp_path, caplog):
    pool = read_records(as_parquet(tmp_path, [png("red")] * 30, [None] * 30))
    assert len(pool.skipped) == 29
    assert caplog.text.count("left out: same pixels") == 10
    assert "19 more were left out" in caplog.text


# Parquet.


def test_parquet_files_by_folder_pattern_braces_and_ending(tmp_path):
    (tmp_path / "sub").mkdir()
    parquet(tmp_path / "part-08.parquet", {"image": [png("red")]})
    parquet(tmp_path / "part-09.parquet", {"image": [png("green"), png("red")]})
    parquet(tmp_path / "part-10.parquet", {"image": [png("blue")]})
    parquet(tmp_path / "sub" / "z.parquet", {"image": [png("pink")]})
    assert colours(read_parquet(str(tmp_path))) == ["red", "green", "blue", "pink"]
    assert colours(read_parquet(f"{tmp_path}/*.parquet")) == ["red", "green", "blue"]
    assert colours(read_records(f"{tmp_path}/**/*.parquet")) == ["red", "green", "blue", "pink"]
    assert colours(read_parquet(f"{tmp_path}/part-{{09..10}}.parquet")) == ["green", "red", "blue"]
    assert colours(read_parquet(f"{tmp_path}/{{part-10,sub/z}}.parquet")) == ["blue", "pink"]
    pool = read_parquet(str(tmp_path))
    assert pool[3].origin == "sub/z.parquet row 0"
    assert pool.skipped == (("part-09.parquet row 1", "same pixels as part-08.parquet row 0"),)
    with pytest.raises(ConfigError, match=r"part-11\.parquet names no file\. Give a \.parquet file, a folder"):
        read_parquet(f"{tmp_path}/part-{{09..11}}.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty is a folder without \.parquet files"):
        read_parquet(str(tmp_path / "empty"))


@pytest.mark.parametrize("kind", ["bytes", "large bytes", "struct", "struct with path", "path", "absolute", "list"])
def test_parquet_pictures_in_every_form(tmp_path, kind):
    plain("red").save(tmp_path / "r.png")
    column = {
        "bytes": pa.array([png("red")]),
        "large bytes": pa.array([png("red")], pa.large_binary()),
        "struct": pa.array([{"bytes": png("red"), "path": "elsewhere.png"}]),
        "struct with path": pa.array(
            [{"bytes": None, "path": "r.png"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        ),
        "path": pa.array(["r.png"]),
        "absolute": pa.array([str(tmp_path / "r.png")]),
        "list": pa.array([[{"bytes": png("red"), "path": None}]]),
    }[kind]
    assert colours(read_parquet(parquet(tmp_path / "x.parquet", {"image": column}))) == ["red"]


def test_parquet_rows_without_one_picture_are_left_out(tmp_path):
    several = parquet(tmp_path / "l.parquet", {"images": [[png("red"), png("blue")], [], [png("pink")], None]})
    assert read_parquet(several).skipped == (
        ("l.parquet row 0", "the row has 2 pictures; one is needed"),
        ("l.parquet row 1", "the row has 0 pictures; one is needed"),
        ("l.parquet row 3", "the row has no picture"),
    )
    plain("red").save(tmp_path / "r.png")
    paths = parquet(tmp_path / "p.parquet", {"image": ["https://x.org/a.png", "none.png", None, "r.png"]})
    [address, absent, nothing] = read_parquet(paths).skipped
    assert address[1] == "https://x.org/a.png is an address; pictures are not fetched"
    assert "none.png" in absent[1]
    assert nothing[1] == "the row has no picture"


def test_parquet_columns_are_found_by_name_or_by_form_or_given(tmp_path):
    picture = {"bytes": png("red"), "path": None}
    one = parquet(tmp_path / "1.parquet", {"id": ["x"], "Image": [png("red")], "Question": ["What?"]})
    assert questions(read_parquet(one)) == ["What?"]
    two = parquet(tmp_path / "2.parquet", {"text": ["x"], "scan": [picture], "query": ["How?"], "ask": ["Who?"]})
    assert questions(read_parquet(two)) == ["How?"]
    assert questions(read_records(f"{two}?question=ask")) == ["Who?"]
    assert questions(read_records(f"parquet/{two}?image=scan&question=")) == [None]
    three = parquet(tmp_path / "3.parquet", {"image": [png("red")], "other": [png("blue")], "question": [[1]]})
    assert (colours(read_records(f"{three}?image=other")), questions(read_parquet(three))) == (["blue"], [None])


def test_parquet_columns_that_are_not_there_are_answered_with_those_that_are(tmp_path):
    file = parquet(tmp_path / "x.parquet", {"number": [1], "scan": [png("red")], "text": ["x"]})
    listed = r"Its columns: number \(int64\), scan \(binary\), text \(string\)\."
    with pytest.raises(
        ConfigError, match=rf"x\.parquet: no column is known as that of the pictures\. {listed} Name it"
    ):
        read_parquet(file)
    with pytest.raises(ConfigError, match=rf"column 'photo' is not there; image must be bytes, .*\. {listed}"):
        read_parquet(file, image="photo")
    with pytest.raises(ConfigError, match=rf"column 'number' is int64; image must be bytes, .*\. {listed}"):
        read_parquet(file, image="number")
    with pytest.raises(ConfigError, match=rf"column 'number' is int64; question must be text\. {listed}"):
        read_parquet(file, image="scan", question="number")
    parquet(tmp_path / "y.parquet", {"other": [1]})
    with pytest.raises(ConfigError, match=r"y\.parquet: column 'scan' is not there"):
        read_parquet(str(tmp_path), image="scan")


def test_parquet_file_that_is_none_is_left_out_among_others(tmp_path):
    parquet(tmp_path / "b.parquet", {"image": [png("red")]})
    (tmp_path / "a.parquet").write_bytes(b"no parquet at all, but long enough to be one")
    pool = read_parquet(str(tmp_path))
    assert (colours(pool), pool.skipped[0][0]) == (["red"], "a.parquet")
    assert "Parquet magic bytes" in pool.skipped[0][1]
    with pytest.raises(ConfigError, match=r"none of 1 records can be used\. The last, a\.parquet: Parquet magic bytes"):
        read_parquet(str(tmp_path / "a.parquet"))
    with pytest.raises(ConfigError, match=r"e\.parquet: holds no records\."):
        read_parquet(parquet(tmp_path / "e.parquet", {"image": pa.array([], pa.binary())}))


def test_parquet_damaged_in_the_middle_costs_only_what_is_there(tmp_path):
    noise = np.random.default_rng(0)
    pictures = [stored(Image.fromarray(noise.integers(0, 256, (30, 30, 3), dtype=np.uint8))) for _ in range(60)]
    file = tmp_path / "x.parquet"
    parquet(file, {"image": pictures}, row_group_size=20, compression="NONE", use_dictionary=False)
    whole = bytearray(file.read_bytes())
    start = pq.read_metadata(file).row_group(1).column(0).data_page_offset
    whole[start : start + 40] = b"\xff" * 40
    file.write_bytes(whole)
    pool = read_parquet(str(file))
    assert len(pool) == 40
    assert [origin for origin, _ in pool.skipped] == [f"x.parquet row {n}" for n in range(20, 40)]
    assert [pool[n].id for n in (39, 0, 20, 19)] == [pool.ids[n] for n in (39, 0, 20, 19)]


def test_parquet_in_one_large_row_group_is_read_in_small_pieces(tmp_path, caplog, monkeypatch):
    noise = np.random.default_rng(0)
    pictures = [stored(Image.fromarray(noise.integers(0, 256, (150, 150, 3), np.uint8)), "BMP") for _ in range(300)]
    pages = {"row_group_size": 300, "compression": "NONE", "use_dictionary": False, "write_batch_size": 10}
    file = parquet(tmp_path / "x.parquet", {"image": pictures}, **pages)
    assert pq.read_metadata(file).num_row_groups == 1
    monkeypatch.setattr(table_records, "_LARGE_GROUP", 2**20)
    before = pa.total_allocated_bytes()
    peaks = []
    real = record_pools._decoded
    monkeypatch.setattr(
        record_pools, "_decoded", lambda p: peaks.append(pa.total_allocated_bytes() - before) or real(p)
    )
    pool = read_parquet(file)
    assert "pictures out of order are slow. Write it with row_group_size=100" in caplog.text
    assert [pool[n].id for n in (299, 0, 150)] == [pool.ids[n] for n in (299, 0, 150)]
    assert max(peaks) < os.path.getsize(file) / 3
    parquet(tmp_path / "y.parquet", {"image": [png("red")]})
    both = read_parquet(str(tmp_path))
    caplog.clear()
    assert [both[n].id for n in (0, -1, 0, -1)] == [both.ids[n] for n in (0, -1, 0, -1)]
    assert caplog.text == ""


# Hugging Face datasets.


def test_dataset_splits_and_folders_that_are_none(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"image": [png("red")], "question": ["What?"]}
    both = datasets.DatasetDict(train=datasets.Dataset.from_dict(rows), test=datasets.Dataset.from_dict(rows))
    both.save_to_disk(str(tmp_path / "two"))
    assert questions(read_records(f"hf-dataset/{tmp_path}/two:test")) == ["What?"]
    with pytest.raises(ConfigError, match=r"has several splits\. Splits: test, train\. Write 'hf-dataset/NAME:test'"):
        read_dataset(f"{tmp_path}/two")
    with pytest.raises(ConfigError, match=r"there is no split 'dev'\. Splits: test, train\."):
        read_dataset(f"{tmp_path}/two:dev")
    datasets.DatasetDict(train=both["train"]).save_to_disk(str(tmp_path / "one"))
    assert len(read_dataset(f"{tmp_path}/one")) == 1
    both["train"].save_to_disk(str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"the folder has no splits; leave ':train' away"):
        read_dataset(f"{tmp_path}/none:train")
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ConfigError, match=r"not one that datasets' save_to_disk wrote.*'parquet/FOLDER'"):
        read_dataset(f"{tmp_path}/pictures")
    with pytest.raises(ConfigError, match=r"nowhere: there is no such folder"):
        read_dataset(f"{tmp_path}/nowhere")


def test_dataset_with_its_rows_reordered_and_lists_of_pictures(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"images": [[{"bytes": png(c), "path": None}] for c in COLOURS[:4]]}
    found = datasets.Dataset.from_dict(rows, features=datasets.Features({"images": datasets.List(datasets.Image())}))
    found.select([3, 1]).save_to_disk(str(tmp_path / "saved"))
    assert colours(read_dataset(f"{tmp_path}/saved")) == ["yellow", "green"]
    with pytest.raises(ConfigError, match=r"column 'photo' is not there.*Its columns: images \(list"):
        read_dataset(f"{tmp_path}/saved", image="photo")


def test_a_hub_id_without_network_says_how_to_use_a_local_copy(monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError) as caught:
        read_records("hf-dataset/somebody/photos:train")
    told = str(caught.value)
    assert told.startswith(
        "images: hf-dataset/somebody/photos:train: is no local folder, and the hub did not give it: "
    )
    assert "`datasets.load_dataset('somebody/photos').save_to_disk('FOLDER')`" in told
    assert "'hf-dataset/FOLDER:SPLIT'" in told


def test_a_hub_id_is_loaded_with_its_split(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    parquet(tmp_path / "x.parquet", {"image": [png("red"), png("blue")]})
    asked = []

    def from_hub(name, split):
        asked.append((name, split))
        files = {"train": str(tmp_path / "x.parquet")}
        return real("parquet", data_files=files, split=split, cache_dir=str(tmp_path / "hub"))

    real = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", from_hub)
    assert colours(read_dataset("somebody/photos:train[1:]")) == ["blue"]
    assert colours(read_dataset("somebody/photos")) == ["red", "blue"]
    assert asked == [("somebody/photos", "train[1:]"), ("somebody/photos", None)]


# WebDataset.


def test_shards_group_members_by_key(tmp_path):
    members = [
        ("d/1.png", png("red")),
        ("d/1.json", json.dumps({"question": "From json?", "id": 1}).encode()),
        ("d/1.txt", b"from txt"),
        ("e/1.jpg", png("green")),  # another folder, another key; the ending does not decide the format
        ("e/1.json", b'{"caption": "x", "ask": "Asked?"}'),
        ("e/1.txt", b" only\n"),
        ("2.left.PNG", png("blue")),
        ("2.right.png", png("pink")),
        ("3.txt", b"no picture"),
        (".hidden.png", png("gray")),
        ("4.cls", b"7"),
        ("4.png", png("cyan")),
    ]
    path = tar(tmp_path / "a.tar", members)
    pool = read_shards(path)
    assert (colours(pool), questions(pool)) == (
        ["red", "green", "blue", "cyan"],
        ["From json?", "only", None, None],
    )
    assert [source.origin for source in pool] == ["a.tar/d/1.png", "a.tar/e/1.jpg", "a.tar/2.left.PNG", "a.tar/4.png"]
    assert pool.skipped == (
        ("a.tar/3.txt", "its key has no picture"),
        ("a.tar/2.right.png", "its key has a picture already; one per key is used"),
    )
    assert questions(read_records(f"{path}?question=")) == [None] * 4
    assert questions(read_records(f"{path}?question=ask")) == [None, "Asked?", None, None]


def test_shards_keep_questions_that_come_after_all_pictures_and_long_names(tmp_path):
    long = "a" * 150
    members = [(f"{long}{n}.png", png(COLOURS[n])) for n in range(3)] + [
        (f"{long}{n}.txt", b"%d?" % n) for n in range(3)
    ]
    for style in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=style) as opened:
            for name, content in members:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                opened.addfile(entry, io.BytesIO(content))
        pool = read_shards(str(tmp_path / "a.tar"))
        assert (colours(pool), questions(pool)) == (COLOURS[:3], ["0?", "1?", "2?"])
        assert pool[2].origin == f"a.tar/{long}2.png"


def test_shards_with_a_bad_question_leave_the_record_out(tmp_path):
    members = [("1.png", png("red")), ("1.json", b"{"), ("2.png", png("blue")), ("2.json", b'{"question": 3}')]
    members += [("3.png", png("pink")), ("3.txt", b"\xff\xfe\xff"), ("4.png", png("gray")), ("4.json", b"[1]")]
    pool = read_shards(tar(tmp_path / "a.tar", members))
    assert (colours(pool), questions(pool)) == (["gray"], [None])
    assert [origin for origin, _ in pool.skipped] == ["a.tar/1.png", "a.tar/2.png", "a.tar/3.png"]
    assert pool.skipped[1][1] == "its question is no text: 3"


def test_shards_by_braces_folder_and_order(tmp_path):
    for number in range(3):
        tar(tmp_path / f"s-{number:02}.tar", [("1.png", png(COLOURS[number]))])
    assert colours(read_records(f"webdataset/{tmp_path}/s-{{00..02}}.tar")) == COLOURS[:3]
    assert colours(read_records(f"{tmp_path}/s-*.tar")) == COLOURS[:3]
    assert [source.origin for source in read_shards(str(tmp_path))] == [f"s-{n:02}.tar/1.png" for n in range(3)]
    with pytest.raises(ConfigError, match=r"s-03\.tar names no file"):
        read_shards(f"{tmp_path}/s-{{01..03}}.tar")


def test_a_shard_cut_short_gives_what_it_has(tmp_path):
    path = tar(tmp_path / "a.tar", [(f"{n}.png", png(c) + b"\0" * 3000) for n, c in enumerate(COLOURS[:3])])
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: 2 * 4096 + 600])  # within the third picture
    tar(tmp_path / "b.tar", [("1.png", png("pink"))])
    pool = read_shards(str(tmp_path))
    assert colours(pool) == ["red", "green", "pink"]
    assert [origin for origin, _ in pool.skipped] == ["a.tar/2.png", "a.tar"]
    assert "breaks off here" in pool.skipped[1][1]
    (tmp_path / "a.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(ConfigError, match=r"none of 1 records can be used\. The last, a\.tar: invalid header"):
        read_shards(path)


def test_a_shard_with_a_damaged_header_in_the_middle_says_so(tmp_path):
    path = tmp_path / "a.tar"
    tar(path, [(f"{n}.png", png(c)) for n, c in enumerate(COLOURS[:5])])
    whole = bytearray(path.read_bytes())
    whole[2 * 1024 : 2 * 1024 + 512] = b"\x55" * 512
    path.write_bytes(whole)
    pool = read_shards(str(path))
    assert colours(pool) == ["red", "green"]
    assert pool.skipped == (("a.tar", "the shard breaks off here; it is cut short or damaged"),)


def test_a_member_whose_name_is_no_text_can_be_written_down(tmp_path):
    path = tar(tmp_path / "a.tar", [("\udcff1.png", png("red"))])
    assert read_shards(path)[0].origin.encode() == b"a.tar/\\udcff1.png"


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("bzip2", bz2.compress)])
def test_a_compressed_shard_is_refused_with_the_remedy(tmp_path, name, pack):
    path = tar(tmp_path / "a.tar", [("1.png", png("red"))])
    (tmp_path / "a.tar").write_bytes(pack((tmp_path / "a.tar").read_bytes()))
    with pytest.raises(ConfigError, match=rf"a\.tar is compressed \({name}\).*Unpack it to a plain \.tar"):
        read_shards(path)


# COCO and VQAv2.


def test_vqa_questions_find_their_pictures_by_number_and_keep_the_smallest_id(tmp_path):
    entries = [
        {"image_id": 9, "question": "Third?", "question_id": 9002},
        {"image_id": 9, "question": "First?", "question_id": 9000},
        {"image_id": 9, "question": "Second?", "question_id": 10001},
        {"image_id": 262148, "question": "Where?", "question_id": 262148000},
        {"image_id": 77, "question": "Lost?", "question_id": 77000},
    ]
    names = [
        "train2014/COCO_train2014_000000000009.png",
        "train2014/COCO_train2014_000000262148.png",
        "train2014/1.png",
    ]
    spec = coco(tmp_path, {"info": {}, "questions": entries}, *names, file="v2_questions.json")
    pool = read_records(f"coco/{spec}")
    assert ([source.origin for source in pool], questions(pool)) == (names[:2], ["First?", "Where?"])
    assert pool.skipped == (
        ("77", f"v2_questions.json names it and {tmp_path} does not have it"),
        ("v2_questions.json", "2 more questions: one per picture is used, that with the smallest id"),
    )


def test_coco_captions_and_instances_list_pictures_without_questions(tmp_path):
    (tmp_path / "annotations").mkdir()
    boxes = [{"image_id": 2, "id": n, "bbox": [1, 2, 3, 4], "segmentation": [[1.5] * 8]} for n in range(5)]
    listing = {
        "images": [{"id": 2, "file_name": "b.png"}, {"id": 1, "file_name": "a.png", "license": 3}],
        "annotations": [*boxes, {"image_id": 1, "id": 7, "caption": "A cat."}],
    }
    coco(tmp_path / "val", {}, "a.png", "b.png", "unlisted.png")
    (tmp_path / "annotations" / "captions.json").write_text(json.dumps(listing))
    pool = read_records(f"{tmp_path}/annotations/captions.json?pictures={tmp_path}/val")
    assert (colours(pool), questions(pool), pool.skipped) == (["red", "green"], [None, None], ())


def test_coco_images_and_questions_together_and_bare_lists(tmp_path):
    listing = {
        "images": [{"id": "x", "file_name": "a.png"}, {"id": "y", "file_name": "deep/b.png"}],
        "questions": [{"image_id": "y", "question": "Why?"}, {"image_id": "z", "question": "Who?"}],
    }
    pool = read_coco(coco(tmp_path, listing, "a.png", "sub/deep/b.png", "z.png"))
    assert (colours(pool), questions(pool)) == (["red", "green"], [None, "Why?"])
    assert [name for name, _ in pool.skipped] == ["z"]
    bare = [{"image": "z.png", "question": "Z?"}, {"image": "a.png"}]
    pool = read_coco(coco(tmp_path, bare, "a.png", "sub/deep/b.png", "z.png", file="bare.json"))
    assert (colours(pool), questions(pool)) == (["red", "blue"], [None, "Z?"])


def test_coco_two_pictures_for_one_id_are_an_error_and_a_full_name_is_not(tmp_path):
    ask = {"questions": [{"image_id": 1, "question": "What?", "question_id": 1}]}
    spec = coco(tmp_path, ask, "train_1.png", "val_1.png")
    with pytest.raises(ConfigError, match=r"several pictures of the folder fit '1'\. Keep one split per folder"):
        read_coco(spec)
    full = {"images": [{"id": 1, "file_name": "s/1.png"}]}
    assert colours(read_coco(coco(tmp_path, full, "1.png", "s/1.png", file="full.json"))) == ["green"]


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        ({"annotations": [{"image_id": 1, "answers": []}], "info": {}}, "it has: annotations, info. Of VQAv2 give"),
        ({"questions": []}, "it has: questions"),
        ([], "holds neither 'questions'"),
        ({"questions": [{"question": "What?"}]}, r"questions[0] has no image_id or image or file_name"),
        ({"images": [{"file_name": "a.png"}, {"id": 3}]}, r"images[1] has no file_name"),
        ({"questions": [{"image_id": 1, "question": 5}]}, r"questions[0]: question is no text"),
        (
            {"questions": [{"image_id": 4, "question": "?"}]},
            "has none of the 1 pictures that it names. The first is '4'",
        ),
    ],
)
def test_coco_wrong_lists_are_answered_with_what_is_allowed(tmp_path, listing, told):
    with pytest.raises(ConfigError) as caught:
        read_coco(coco(tmp_path, listing, "a.png"))
    assert told in str(caught.value)
    assert "list.json" in str(caught.value)


def test_coco_no_file_no_json_no_folder_no_pictures(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.json: there is no such file"):
        read_coco(str(tmp_path / "nowhere.json"))
    (tmp_path / "list.json").write_text("{")
    with pytest.raises(ConfigError, match=r"list\.json: is no json: "):
        read_coco(str(tmp_path / "list.json"))
    spec = coco(tmp_path, {"images": [{"id": 1, "file_name": "a.png"}]})
    with pytest.raises(ConfigError, match=r"holds no pictures\. Give their folder: add '\?pictures=FOLDER'"):
        read_coco(spec)
    with pytest.raises(ConfigError, match=r"the folder of pictures, nowhere, does not exist"):
        read_coco(spec, pictures="nowhere")


def test_coco_the_list_is_parsed_once(tmp_path, monkeypatch):
    spec = coco(tmp_path, {"images": [{"id": n, "file_name": f"{n}.png"} for n in range(2)]}, "0.png", "1.png")
    parsed = []
    real = record_pools.listed
    monkeypatch.setattr(record_pools, "listed", lambda *given: parsed.append(1) or real(*given))
    assert colours(read_coco(spec)) == colours(read_coco(spec)) == ["red", "green"]
    assert len(parsed) == 1
    coco(tmp_path, {"images": [{"id": 1, "file_name": "1.png"}]})
    assert colours(read_coco(spec)) == ["green"]
    assert len(parsed) == 2


# Specs.


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("parquet/photos", "parquet"),
        ("hf-dataset/owner/name:train", "hf-dataset"),
        ("webdataset/x", "webdataset"),
        ("coco/x", "coco"),
        ("x/a.parquet?image=b", "parquet"),
        ("x/{0..9}.tar", "webdataset"),
        ("x/a.json?pictures=b", "coco"),
        ("photos", None),
        ("sandbox/0", None),
        ("a.png", None),
    ],
)
def test_the_kind_of_a_spec(spec, kind):
    assert record_kind(spec) == kind


@pytest.mark.parametrize("spec", ["parquet/", "coco/a.json?image=x", "webdataset/a.tar?image=x", "photos"])
def test_a_spec_that_cannot_be_read_is_answered_with_how_to_write_it(spec):
    with pytest.raises(ConfigError, match=r"Write it like 'hf-dataset/NAME:train', 'parquet/FOLDER'"):
        read_records(spec)


def test_addresses_are_refused():
    with pytest.raises(ConfigError, match=r"addresses are not read\. Download the files"):
        read_records("webdataset/https://somewhere.org/a.tar")
