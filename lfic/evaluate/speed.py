"""CPU time that codecs take for a face."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence

from .interface import EvaluatedCodec, Pixels
from .tables import Row


def measure_speed(codecs: Iterable[EvaluatedCodec], faces: Iterable[Pixels], repeats: int = 5) -> list[Row]:
    """Milliseconds of CPU time a face, medians over ``repeats`` passes: rows codec, setting, bytes, encode_ms,
    decode_ms.

    Every codec is told to use one thread, so this is the time on one core, and it stays what it is on a busy machine.
    """
    faces = list(faces)
    return [speed_of(codec, faces, repeats) for codec in codecs]


def speed_of(codec: EvaluatedCodec, faces: Sequence[Pixels], repeats: int) -> Row:
    """One codec at its middle setting."""
    setting = codec.settings[len(codec.settings) // 2]
    files = codec.encode(faces, setting)
    codec.decode(files)
    encode, decode = [], []
    for _ in range(repeats):
        encode.append(seconds(lambda: codec.encode(faces, setting)))
        decode.append(seconds(lambda: codec.decode(files)))
    return {
        "codec": codec.name,
        "setting": setting,
        "bytes": statistics.fmean(map(len, files)),
        "encode_ms": 1e3 * statistics.median(encode) / len(faces),
        "decode_ms": 1e3 * statistics.median(decode) / len(faces),
    }


def seconds(call: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start
