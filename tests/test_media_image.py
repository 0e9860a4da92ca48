import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seqlab.errors import DataError
from seqlab.files import write_lines
from seqlab.media import image_size, read_image, write_image
from seqlab.media.image import _FORMATS, IMAGE_SUFFIXES

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40  # two rows, three columns


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, bits, colour, data=b""):
    """A PNG by hand; its header may claim anything."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.pgm", "a.gif"])
def test_grey_files_come_as_they_are(tmp_path, name):
    Image.fromarray(GREY).save(tmp_path / name)
    assert image_size(tmp_path / name) == (3, 2)
    read = read_image(str(tmp_path / name))
    assert read.dtype == np.uint8
    assert read.tolist() == GREY.tolist()
    assert read.flags.c_contiguous


# Where row 0 and column 0 of the stored picture are to be seen, by the EXIF standard, for stored rows "ab" "cd" "ef".
SEEN = {
    1: ["ab", "cd", "ef"],
    2: ["ba", "dc", "fe"],
    3: ["fe", "dc", "ba"],
    4: ["ef", "cd", "ab"],
    5: ["ace", "bdf"],
    6: ["eca", "fdb"],
    7: ["fdb", "eca"],
    8: ["bdf", "ace"],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_orientation_is_applied(tmp_path, orientation, suffix):
    levels = {letter: 40 * number for number, letter in enumerate("abcdef")}
    stored = np.array([[levels[letter] for letter in row] for row in SEEN[1]], np.uint8)
    stored = np.kron(stored, np.ones((16, 16), np.uint8))  # JPEG blurs single pixels
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 95}}.get(suffix, {})
    Image.fromarray(stored).save(tmp_path / f"a{suffix}", exif=exif, **options)
    seen = np.array([[levels[letter] for letter in row] for row in SEEN[orientation]])
    assert image_size(tmp_path / f"a{suffix}") == (16 * seen.shape[1], 16 * seen.shape[0])
    read = read_image(tmp_path / f"a{suffix}")
    assert read.shape == (16 * seen.shape[0], 16 * seen.shape[1])
    assert np.abs(read[8::16, 8::16].astype(int) - seen).max() <= 3


def test_damaged_exif_does_not_hide_the_picture(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert read_image(tmp_path / "a.png").tolist() == GREY.tolist()


def test_colours_become_luma(tmp_path):
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
    Image.fromarray(colours).save(tmp_path / "rgb.png")
    # 0.299, 0.587 and 0.114 of 255
    assert read_image(tmp_path / "rgb.png").tolist() == [[76, 150, 29, 9]]
    Image.fromarray(colours).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png").tolist() == [[76, 150, 29, 9]]


def test_transparency_lies_on_white(tmp_path):
    rgba = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 128], [200, 200, 200, 255]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    assert read_image(tmp_path / "rgba.png").tolist() == [[255, 0, 127, 200]]
    Image.fromarray(rgba).convert("LA").save(tmp_path / "la.png")
    assert read_image(tmp_path / "la.png").tolist() == [[255, 0, 127, 200]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 50, 50, 50])
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image(tmp_path / "p.png").tolist() == [[255, 50]]
    Image.fromarray(np.array([[7, 8]], np.uint8)).save(tmp_path / "key.png", transparency=7)
    assert read_image(tmp_path / "key.png").tolist() == [[255, 8]]


def test_cmyk_and_one_bit(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("RGB").convert("CMYK").save(tmp_path / "cmyk.tif")
    assert read_image(tmp_path / "cmyk.tif").tolist() == [[0, 255]]
    bits = Image.fromarray(np.array([[0, 255, 255]], np.uint8)).convert("1")
    bits.save(tmp_path / "a.png")
    bits.save(tmp_path / "a.tif", compression="group4")
    assert read_image(tmp_path / "a.png").tolist() == read_image(tmp_path / "a.tif").tolist() == [[0, 255, 255]]


def test_sixteen_bits_lose_the_lower_byte(tmp_path):
    wide = np.array([[0, 255, 256, 65535]], np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(wide).save(tmp_path / name)
        assert read_image(tmp_path / name).tolist() == [[0, 0, 1, 255]]
    (tmp_path / "a.pgm").write_bytes(b"P5 4 1 65535\n" + wide.astype(">u2").tobytes())
    assert read_image(tmp_path / "a.pgm").tolist() == [[0, 0, 1, 255]]
    Image.fromarray(wide[:, :2]).save(tmp_path / "narrow.tif")  # eight-bit values in a wide file
    assert read_image(tmp_path / "narrow.tif").tolist() == [[0, 255]]
    Image.fromarray(wide).save(tmp_path / "inverted.tif", tiffinfo={0x0106: 0})  # "white is 0"
    assert Image.open(tmp_path / "inverted.tif").tag_v2[0x0106] == 0
    assert read_image(tmp_path / "inverted.tif").tolist() == [[255, 255, 254, 0]]


def test_floats_and_wide_integers(tmp_path):
    for values, seen in (([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 0.6, 255.0], [0, 1, 255])):
        Image.fromarray(np.array([values], np.float32)).save(tmp_path / "f.tif")
        assert read_image(tmp_path / "f.tif").tolist() == [seen]
    for values in ([-1.0, 0.0], [0.0, float("nan")], [0.0, 256.0]):
        Image.fromarray(np.array([values], np.float32)).save(tmp_path / "f.tif")
        with pytest.raises(DataError, match=r"f\.tif holds floats .* 8 bits"):
            read_image(tmp_path / "f.tif")
    Image.fromarray(np.array([[0, 100000]], np.int32)).save(tmp_path / "i.tif")
    with pytest.raises(DataError, match="values from 0 to 100000"):
        read_image(tmp_path / "i.tif")


def test_of_several_pages_the_first_is_read_and_a_note_is_made(tmp_path, caplog):
    Image.fromarray(GREY).save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(GREY.T.copy())])
    assert read_image(tmp_path / "a.tif").tolist() == GREY.tolist()
    assert "a.tif has several pages; the first is read" in caplog.text
    caplog.clear()
    Image.fromarray(GREY).save(tmp_path / "b.tif")
    read_image(tmp_path / "b.tif")
    assert not caplog.text


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".pgm", ".webp", ".gif", ".jp2"])
def test_cut_files_are_refused(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (80, 120), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"whole{suffix}")
    data = (tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    for share in (0.02, 0.5, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(DataError, match=f"cut{suffix}"):
            read_image(path)


def test_bombs_are_refused_by_their_header(tmp_path):
    path = tmp_path / "bomb.png"
    for width, height in ((60000, 60000), (2**31 - 1, 2**31 - 1), (180_000_000, 1)):
        path.write_bytes(png(width, height, 8, 0))
        for read in (image_size, read_image):
            with pytest.raises(DataError, match=r"bomb\.png has more than 178,956,970 pixels; cut it up"):
                read(path)
    path.write_bytes(png(12000, 10000, 1, 0))  # large, and allowed; no warning of Pillow's
    assert image_size(path) == (12000, 10000)


def test_odd_shapes_are_given_as_they_are(tmp_path):
    for shape in ((1, 1), (1, 3000), (3000, 1)):
        write_image(tmp_path / "a.png", np.full(shape, 7, np.uint8))
        assert read_image(tmp_path / "a.png").shape == shape
    (tmp_path / "b.png").write_bytes(png(0, 5, 8, 0))
    with pytest.raises(DataError, match=r"b\.png"):
        read_image(tmp_path / "b.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"%PDF-1.7 ...", "is a PDF.*pdftoppm"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawing, not a bitmap"),
        (b"<html><body>404</body></html>", "HTML file, not a bitmap"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image that can be read.*formats: PNG"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"hello", "no image that can be read"),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    for read in (image_size, read_image):
        with pytest.raises(DataError, match=rf"a\.png .*{message}"):
            read(tmp_path / "a.png")


def test_missing_files_folders_and_pipes(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png not found"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match="is a folder"):
        image_size(tmp_path)
    with pytest.raises(DataError, match="no regular file"):
        read_image("/dev/null")
    with pytest.raises(DataError, match="cannot be read"):
        read_image("a\0b.png")


def test_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "a.png"
    write_image(path, GREY[:, ::-1])
    assert read_image(path).tolist() == GREY[:, ::-1].tolist()
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match=r"No space left on device.*a\.png"):
        write_image(path, GREY)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_only_grey_arrays_and_png_are_written(tmp_path):
    for array in (GREY.astype(float), GREY[None], np.zeros((0, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"uint8, \(Y, S\)"):
            write_image(tmp_path / "a.png", array)
    with pytest.raises(ValueError, match=r"end in \.png"):
        write_image(tmp_path / "a.jpg", GREY)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_anywhere_is_read_or_refused(tmp_path_factory, data):
    kind = data.draw(st.sampled_from(["PNG", "TIFF", "JPEG", "BMP", "GIF", "WEBP", "PPM"]))
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 14), dtype=np.uint8)).save(buffer, format=kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / "a.bin"
    path.write_bytes(content)
    try:
        size, image = image_size(path), read_image(path)
    except DataError as error:
        fault = str(error)
    else:
        assert image.shape == size[::-1]
        return
    assert str(path) in fault


def test_a_failed_write_names_the_file_alone(tmp_path):
    (tmp_path / "dir.png").mkdir()
    with pytest.raises(OSError, match=r"Is a directory: '[^']*dir\.png'$"):
        write_image(tmp_path / "dir.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(OSError, match=r"Is a directory: '[^']*dir\.png'$"):
        write_lines(tmp_path / "dir.png", ["a"])
    assert [path.name for path in tmp_path.iterdir()] == ["dir.png"]


def test_every_suffix_is_of_a_format_that_is_read():
    known = Image.registered_extensions()
    assert {known[suffix] for suffix in IMAGE_SUFFIXES} == set(_FORMATS)
