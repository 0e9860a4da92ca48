"""Image files as grey arrays, and back."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from seqlab.errors import DataError
from seqlab.files import replacing
from seqlab.media._files import open_file

MAX_PIXELS = 178_956_970  # a few kB can claim, and truly decode to, billions; where Pillow stops by itself, too
MAX_COLUMNS = 40_000  # of a prepared line; wider than any line of text
TOO_WIDE = "an image of {} x {} pixels would have {} columns, far more than a line of text; is it one line?"
ORIENTATION = 0x0112  # the EXIF and TIFF tag
_PHOTOMETRIC = 0x0106
_BITS = 0x0102
# What is decoded: bitmaps alone. Pillow would hand others to programs (EPS to Ghostscript) or to rarely used decoders.
_FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "JPEG2000", "PPM", "AVIF")
# How names of such files end, the usual ones first.
IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".jp2"),
    *(".bmp", ".gif", ".avif", ".pgm", ".ppm", ".pbm"),
)
_READS = "PNG, JPEG, TIFF, GIF, BMP, WebP, JPEG 2000, PGM and AVIF"
_log = logging.getLogger(__name__)


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Read the size of an image from its header, as it is displayed: EXIF orientation counts.

    Returns:
        Width and height in pixels.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is no image, or too large; damage further in shows only in read_image.
    """
    with _open(path) as image:
        width, height = image.size
        return (height, width) if _orientation(image) >= 5 else (width, height)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image as grey values, as it is displayed.

    EXIF orientation is applied, transparency lies on white, colours become luma (ITU-R 601), of CIE Lab the lightness.
    Sixteen-bit values lose their lower byte; where all are below 256 they are eight-bit values in a wide file and stay.
    Floats count from 0 to 1, or from 0 to 255 if any is above 1. Of several pages or frames the first is read; for a
    TIFF with more a warning is logged.

    Returns:
        Grey values, 0 black and 255 white, (Y, S), uint8: rows from the top, columns from the left.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is no image, cut off, damaged, too large, or its values have no clear meaning.
    """
    with _open(path) as image:
        orientation = _orientation(image)
        if image.format == "TIFF" and getattr(image, "is_animated", False):
            _log.warning("%s has several pages; the first is read. Split the file to read the others", path)
        try:
            image.load()
            grey = _grey(image, path)
        except DataError:
            raise
        except MemoryError:
            raise DataError(f"{path}: no memory for {image.width} x {image.height} pixels; scale it down") from None
        except Exception as error:  # decoders raise what they like at damaged files
            raise DataError(
                f"{path} is damaged or cut off ({_first_line(error)}); copy the file again or leave it out"
            ) from None
    return np.ascontiguousarray(_turn(grey, orientation))


def write_image(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write grey values (Y, S), uint8, as PNG, whole or not at all; missing folders are made.

    Raises:
        ValueError: the array is nothing that read_image would return, or the name does not end in .png.
        OSError: the file could not be written.
    """
    path, array = Path(path), np.asarray(array)
    if array.dtype != np.uint8 or array.ndim != 2 or not array.size:
        raise ValueError(f"{path}: grey values must be uint8, (Y, S); got {array.dtype}, shape {array.shape}")
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: images are written as PNG; let the name end in .png")
    with replacing(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG")


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open an image of a format that is read, and check the size in its header."""
    with open_file(path, "image") as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of large images and odd tags; what matters is checked here
                image = Image.open(file, formats=_FORMATS)
        except Image.DecompressionBombError:
            raise DataError(f"{path} has more than {MAX_PIXELS:,} pixels; cut it up or scale it down") from None
        except Exception as error:  # whatever a damaged or hostile header leads to
            file.seek(0)
            raise DataError(f"{path} {_what(file.read(4096), error)}") from None
        with image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DataError(
                    f"{path} has {width} x {height} pixels, more than {MAX_PIXELS:,}; cut it up or scale it down"
                )
            if not width or not height:
                raise DataError(f"{path} has no pixels ({width} x {height}); copy the file again or leave it out")
            yield image


def _what(head: bytes, error: Exception) -> str:
    """Say what a file is that Pillow cannot open, and what to do."""
    if not head:
        return "is empty (0 bytes); copy it again, or leave it out"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not an image; run 'git lfs pull' where it comes from"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"%PDF"):
        return "is a PDF, which has pages and no pixels; convert it first, for instance with pdftoppm -png -r 300"
    if start.startswith((b"<svg", b"<?xml", b"<!DOCTYPE", b"<html")):
        kind = "an SVG drawing" if b"<svg" in head else "an XML or HTML file"
        return f"is {kind}, not a bitmap; give an image file ({_READS})"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return f"is a HEIC image, which is not read; convert it to one of {_READS}"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"is no image that can be read, or its header is damaged; formats: {_READS}"
    return f"has a damaged header ({_first_line(error)}); copy the file again or leave it out"


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied, 1 to 8; Pillow applies that of TIFF and AVIF itself."""
    if image.format == "TIFF" or (image.format == "PNG" and not {"exif", "xmp", "XML:com.adobe.xmp"} & set(image.info)):
        return 1  # without this, Pillow would decode a PNG whole to see whether EXIF data follow its pixels
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data: the picture can be read all the same
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turn(grey: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored grey values (Y, S) to what is displayed (EXIF 2.3, orientation: where row 0 and column 0 are)."""
    if orientation >= 5:
        grey = grey.T
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1]
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    return grey


def _grey(image: Image.Image, path: str | os.PathLike[str]) -> np.ndarray:
    """Return the grey values of a loaded image, (Y, S), uint8, not yet turned."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        wide = _narrow(np.asarray(image), image, path)
        return 255 - wide if _tag(image, _PHOTOMETRIC) == 0 else wide  # Pillow inverts "white is 0" only up to 8 bits
    if mode == "LAB":
        return np.asarray(image.getchannel(0))
    if image.has_transparency_data:
        both = image.convert("RGBA")
        paper = Image.new("L", image.size, 255)
        paper.paste(both.convert("L"), mask=both.getchannel("A"))
        return np.asarray(paper)
    if mode not in ("1", "L", "P", "RGB", "YCbCr"):
        image = image.convert("RGB")  # CMYK and what else has no way to grey of its own
    return np.asarray(image.convert("L"))


def _narrow(values: np.ndarray, image: Image.Image, path: str | os.PathLike[str]) -> np.ndarray:
    """Bring integers of up to 16 bits, or floats, to 0 to 255."""
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if not (low >= 0 and high <= 255):  # NaN fails too
            raise DataError(f"{path} holds floats from {low} to {high}; save it with 8 bits a pixel or in [0, 1]")
        return np.round(values * 255 if high <= 1 else values).astype(np.uint8)
    if low < 0 or high > 65535:
        raise DataError(f"{path} holds values from {low} to {high}; save it with 8 or 16 bits a pixel")
    if high < 256:
        return values.astype(np.uint8)
    bits = _tag(image, _BITS)
    return (values >> (4 if bits == 12 else 8)).astype(np.uint8)


def _tag(image: Image.Image, tag: int) -> object:
    """Return the first value of a TIFF tag, or None."""
    value = getattr(image, "tag_v2", {}).get(tag)
    return value[0] if isinstance(value, tuple) and value else value


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
