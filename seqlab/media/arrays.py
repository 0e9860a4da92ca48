"""Read arrays (T, F) from .npy and .npz files; nothing in them is executed."""

import zipfile
from pathlib import Path

import numpy as np

from seqlab.errors import DataError
from seqlab.media._files import check_file

MAX_VALUES = 500_000_000  # of one array


def _array(path: Path, mapped: bool) -> np.ndarray:
    check_file(path, "array")
    try:
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
            if len(members) != 1:
                raise DataError(f"{path}: an .npz file of one array is needed, this one has {len(members)}")
            if members[0].file_size > 8 * MAX_VALUES:
                raise DataError(f"{path}: unpacks to {members[0].file_size} bytes, more than is taken")
            with np.load(path, allow_pickle=False) as arrays:
                array = arrays[arrays.files[0]]
        else:
            array = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
    except DataError:
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


def array_shape(path: str | Path) -> tuple[int, ...]:
    """Return the shape of the array in a file; of an .npy file only the header is read.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it holds no array.
    """
    return tuple(_array(Path(path), mapped=True).shape)


def read_array(path: str | Path) -> np.ndarray:
    """Return the array in a file.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it holds no array, more than one, or one of other things than numbers.
    """
    array = _array(Path(path), mapped=True)
    if array.nbytes > 16 * MAX_VALUES:
        raise DataError(f"{path}: {array.nbytes} bytes are more than is taken")
    return np.array(array)
