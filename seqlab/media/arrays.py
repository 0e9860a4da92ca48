"""Read arrays (T, F) from .npy and .npz files; nothing in them is executed."""

import math
import zipfile
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from seqlab.errors import DataError
from seqlab.media._files import member_of, open_file

MAX_VALUES = 500_000_000  # of one array


def _array(path: Path) -> np.ndarray:
    try:
        with open_file(path, "array") as file:
            if path.suffix.lower() == ".npz":
                with zipfile.ZipFile(file) as archive:
                    members = archive.infolist()
                if len(members) != 1:
                    raise DataError(f"{path}: an .npz file of one array is needed, this one has {len(members)}")
                if members[0].file_size > 8 * MAX_VALUES:
                    raise DataError(f"{path}: unpacks to {members[0].file_size} bytes, more than is taken")
                file.seek(0)
                with np.load(file, allow_pickle=False) as arrays:
                    array = arrays[arrays.files[0]]
            elif member_of(path):
                array = _mapped_member(file, path)
            else:
                array = np.load(path, allow_pickle=False, mmap_mode="r")
    except (DataError, FileNotFoundError):
        raise
    except Exception as error:  # whatever a damaged or hostile file leads to
        raise DataError(f"{path} is no readable array (.npy or .npz): {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise DataError(f"{path}: needs an array of real numbers, got {getattr(array, 'dtype', type(array))}")
    if not array.ndim:
        raise DataError(f"{path}: needs an array (frames, features), got a single number")
    if array.size > MAX_VALUES:
        raise DataError(f"{path}: {array.size} values are more than is taken ({MAX_VALUES})")
    return array


def _mapped_member(file: BinaryIO, path: Path) -> np.ndarray:
    """Map the .npy file that is a member of a shard, which numpy itself cannot."""
    member = member_of(path)
    assert member is not None
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(file)
    if dtype.kind not in "fiub":
        raise ValueError(f"an array of {dtype}")
    if file.tell() + dtype.itemsize * math.prod(shape) > member.size:
        raise ValueError(f"it ends before the {shape} values of its header")
    order: Literal["C", "F"] = "F" if columns_first else "C"
    return np.memmap(member.tar, dtype, "r", member.offset + file.tell(), shape, order)


def array_shape(path: str | Path) -> tuple[int, ...]:
    """Return the shape of the array in a file; of an .npy file only the header is read.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it holds no array.
    """
    return tuple(_array(Path(path)).shape)


def read_array(path: str | Path) -> np.ndarray:
    """Return the array in a file.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it holds no array, more than one, or one of other things than numbers.
    """
    array = _array(Path(path))
    if array.nbytes > 16 * MAX_VALUES:
        raise DataError(f"{path}: {array.nbytes} bytes are more than is taken")
    return np.array(array)
