"""csrc/format against lfic.format: the same files are read, to the same symbols, and refused with the same words."""

import hashlib
import json
import pathlib
import struct
import subprocess

import numpy as np

import lfic
from lfic.format import layers, weights
from lfic.format.container import crc16
from lfic.format.payload import decode_payloads
from lfic.format.probe import known_context

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "golden"
FACE_V1 = weights.weights_path("face-v1")
BOTH = pathlib.Path(__file__).parents[2] / "csrc" / "tools" / "face-v2-decoder.safetensors"


def version(picture):
    return 4 * (picture.model == 1) + (2 if not picture.plain else 3 if picture.grey else 1)


def expected(data):
    """What read_files.cpp says of a file, by Python."""
    try:
        picture = layers.read(data, 1 << 20)
        out = f"ok {picture.width} {picture.height} v{version(picture)} m{picture.model} e{picture.reduction}"
        out += f" c{int(picture.checksum)}"
        places = [None] * (picture.background is not None) + [layer.place for layer in picture.layers]
        for place, stream in zip(places, picture.streams, strict=True):
            ((symbols, levels),) = decode_payloads(
                known_context(stream.header), [(stream.header, memoryview(stream.payload))]
            )
            numbers = symbols.astype("<i2").tobytes() + levels.ravel().astype("<u2").tobytes()
            h = stream.header
            out += "" if place is None else f" @ {place.x} {place.y} {place.scale} {place.angle}"
            out += f" | {h.width} {h.height} q{h.quality} l{h.level_mode} a{int(h.aligned)} {len(stream.payload)} "
            out += hashlib.sha256(numbers).hexdigest()[:16]
        return out + (" | same" if layers.write(picture) == bytes(data) else " | other")
    except lfic.LficError as error:
        text = str(error)
        text = text.split(" (of a bare stream")[0]  # what Python's callers can do about it
        return f"{type(error).__name__} {text.removeprefix('stream 0 of the batch: ')}"


def read_files(cpp_build, path, files):
    """read_files.cpp's lines."""
    records = b"".join(struct.pack("<I", len(data)) + data for data in files)
    done = subprocess.run([cpp_build / "read_files", path], input=records, capture_output=True)
    assert not done.stderr, done.stderr
    return done.stdout.decode().splitlines()


def sealed(data):
    """A file whose checksum is right, if its header says that it has one."""
    flag = 4 if data[1] >> 5 & 3 == 2 else 2
    return data[:-2] + crc16(data[:-2]).to_bytes(2, "big") if data[1] & flag and len(data) > 4 else data


def damaged(rng, data):
    """A few bytes of a file changed, most of them in its head; half of such files have a right checksum."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if not out:
            break
        at = int(rng.integers(0, min(len(out), 24 if rng.random() < 0.7 else len(out))))
        match rng.integers(0, 5):
            case 0:
                out[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                out[at] = int(rng.integers(0, 256))
            case 2:
                del out[at]
            case 3:
                out.insert(at, int(rng.integers(0, 256)))
            case _:
                del out[max(at, 3) :]
    return sealed(bytes(out)) if len(out) > 2 and rng.random() < 0.6 else bytes(out)


def test_golden_files_and_damaged_ones(cpp_build):
    files = [path.read_bytes() for path in sorted(GOLDEN.glob("*.lfic"))]
    assert len(files) >= 10
    rng = np.random.default_rng(5)
    small = [data for data in files if len(data) < 1500]
    files += [damaged(rng, small[i % len(small)]) for i in range(2000)]
    # Heads of every version and flag, with and without a model byte that names private weights or none.
    heads = [bytes([0xFC, flags, second]) for flags in range(256) for second in (0, 80, 81)]
    rest = bytes(5), bytes([1, 9, 9, 9, 9]), bytes([255, 1, 2])  # the last ends within a digest
    files += [(head + more)[:length] for head in heads for more in rest for length in (3, 4, 5, 6)]
    found = read_files(cpp_build, BOTH, files)
    wanted = [expected(data) for data in files]
    different = [(f, w, d.hex()[:80]) for f, w, d in zip(found, wanted, files, strict=True) if f != w]
    assert not different, different[:3]
    kinds = {line.split()[0] for line in found}
    assert kinds >= {"ok", "ContainerError", "CorruptStreamError"}
    assert sum(line.startswith("ok") for line in found) > 60


def weights_file(head, body, texts=None):
    """Bytes of a safetensors file with this head."""
    if isinstance(head, dict):
        head = json.dumps({"__metadata__": texts, **head} if texts is not None else head)
    head = head.encode() if isinstance(head, str) else head
    return struct.pack("<Q", len(head)) + head + body


def parts():
    """(head, texts, body) of the shipped weights."""
    data = FACE_V1.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8 : 8 + size])
    return head, head.pop("__metadata__"), data[8 + size :]


def test_weights_are_read_strictly(cpp_build, tmp_path):
    """What is refused, each by name; and spaces and another order of the names are no damage."""
    head, texts, body = parts()
    (first, entry), (last, end) = (f(head.items(), key=lambda kv: kv[1]["data_offsets"]) for f in (min, max))

    def changed(name, **fields):
        return head | {name: head[name] | fields}

    def said(data):
        path = tmp_path / "w.safetensors"
        path.write_bytes(data)
        lines = read_files(cpp_build, path, [(GOLDEN / "face-q40.lfic").read_bytes()])
        return lines[0]

    good = said(weights_file(dict(reversed(head.items())), body, texts))
    assert good.startswith("ok 112 112")
    assert said(weights_file(json.dumps({**head, "__metadata__": texts}, indent=3) + "   ", body)) == good
    huge = 1 << 62
    one = body[:-1] + bytes([body[-1] ^ 1])
    text = json.dumps({"__metadata__": texts, **head})
    start, stop = entry["data_offsets"]
    for data, words in (
        (b"", "it has 0 bytes"),
        (b"\0" * 7, "it has 7 bytes"),
        (struct.pack("<Q", huge) + b"{}", "its head has 4611686018427387904 bytes"),
        (struct.pack("<Q", 3) + b"{}", "its head has 3 bytes"),
        (weights_file("[]", b""), "no object"),
        (weights_file(text[:-1], body), "the text ends"),
        (weights_file(text + "{}", body), "something follows"),
        (weights_file("[" * 99, b""), "too deep"),
        (weights_file(text[:-1] + ', "a": {}, "a": {}}', body), "a name comes twice"),
        (weights_file(text[:-1] + ', "a": -1}', body), "a value is needed"),
        (weights_file(text[:-1] + ', "a": 99999999999999999999}', body), "too large"),
        (weights_file(text[:-1] + ', "\\ud800": 1}', body), "half a character"),
        (weights_file(head | {"a": {}}, body, texts), "'a' is not described"),
        (weights_file(changed(first, dtype="BF16"), body, texts), "BF16"),
        (weights_file(changed(first, shape=[huge, huge]), body, texts), "no list of sizes"),
        (weights_file(changed(first, shape=[1]), body, texts), "its shape and type do not give"),
        (weights_file(changed(last, data_offsets=[huge, huge + 1]), body, texts), "outside the file"),
        (weights_file(changed(last, data_offsets=[end["data_offsets"][1], 3]), body, texts), "outside the file"),
        (weights_file(changed(first, data_offsets=[start + 8, stop + 8]), body, texts), "overlap, or leave gaps"),
        (weights_file(head, body + b"\0", texts), "bytes follow"),
        (weights_file(head, body[:-1], texts), "outside the file"),
        (weights_file(head, one, texts), "the weights are damaged: their digest is"),
        (weights_file(head, body, texts | {"digest": ""}), "the weights are damaged"),
        (weights_file(head, body, texts | {"format": "lfic-weights-9"}), "'lfic-weights-9'; this lfic reads"),
        (weights_file(head, body), "this lfic reads"),
        # In the older format the digest is of the tensors alone.
        (weights_file({}, b"", {"format": "lfic-weights-1", "digest": hashlib.sha256().hexdigest()}), "weights lack"),
    ):
        found = said(data)
        assert found.startswith("WeightsError ") and words in found, (words, found)


def test_a_model_that_could_misbehave_is_refused(cpp_build, tmp_path):
    """The digest is right, the numbers are not."""
    from safetensors.numpy import save

    arrays, texts = weights.load_arrays("face-v1")
    for name, value, words in (
        ("context.W1", np.full_like(arrays["context.W1"], 9000), "W1 holds 9000"),
        ("context.sh1", np.array([40], np.int32), "a shift is 40"),
        ("context.sh1", np.array([4, 4], np.int32), "not one number"),
        ("context.W1", arrays["context.W1"].astype(np.int32), "has type I32; needed is I16"),
        ("context.table_map", arrays["context.table_map"] + 9999, "table_map holds"),
        ("tables.starts", arrays["tables.starts"][::-1].copy(), "model that this lfic knows"),
    ):
        wrong = arrays | {name: value}
        path = tmp_path / "w.safetensors"
        path.write_bytes(save(wrong, texts | {"digest": weights.digest(wrong, texts)}))
        (found,) = read_files(cpp_build, path, [])
        assert found.startswith("WeightsError ") and words in found
