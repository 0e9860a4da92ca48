"""Read and write media files. Nothing else in seqlab opens one.

Audio comes as float32 mono, (S,), nominally in [-1, 1]. soundfile decodes WAV, FLAC, OGG and MP3 (and AIFF, AU, CAF,
NIST SPHERE ...), soxr changes the rate, and formats that soundfile does not know go through the program ``ffmpeg``
where there is one. Files are read by blocks and mixed down block by block, so memory follows what a file truly holds:
about four bytes per mono sample, whatever its header claims and however many channels it has.

Images come as grey values, (Y, S), uint8, 0 black and 255 white, turned as they are displayed. Pillow decodes bitmaps.
Ink comes as points (N, 4), float32: x, y growing downwards, seconds, and 1 at the last point of each stroke. Arrays
(T, F) come from .npy and .npz files.

Every path may name a member of a tar shard, as ``train-000000.tar@1536+34567/a-1.flac``: see seqlab.media._files.
"""

from seqlab.media._files import file_exists, file_stamp
from seqlab.media.arrays import array_shape, read_array
from seqlab.media.audio import AudioInfo, audio_info, read_audio, read_line, write_flac, write_wav
from seqlab.media.blocks import audio_blocks
from seqlab.media.image import image_size, read_image, write_image
from seqlab.media.ink import ink_from_strokes, read_ink, strokes_of

__all__ = [
    "AudioInfo",
    "array_shape",
    "audio_blocks",
    "audio_info",
    "file_exists",
    "file_stamp",
    "image_size",
    "ink_from_strokes",
    "read_array",
    "read_audio",
    "read_image",
    "read_ink",
    "read_line",
    "strokes_of",
    "write_flac",
    "write_image",
    "write_wav",
]
