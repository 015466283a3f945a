"""Batches: what goes in and comes out, errors by index, equal results however the work is cut."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch.overrides import TorchFunctionMode

import lfic
from lfic.batch import cores, encode, overlap, pieces
from lfic.batch.pictures import Pictures
from lfic.encoder.choose import clear_share
from lfic.encoder.draft import estimate_bits, first_drafts
from lfic.errors import ContainerError, CorruptStreamError, InvalidInputError, LficError, MissingDependencyError
from lfic.format import container
from lfic.format.level_map import map_bits
from lfic.kernels import rap_quantize
from lfic.network import rap


@pytest.fixture(scope="module")
def faces(face):
    """uint8 [5, 112, 112, 3]."""
    return np.stack([face, face[:, ::-1], np.roll(face, 9, 0), face[::-1], face // 2])


@pytest.fixture(scope="module")
def blobs(codec, faces):
    return codec.encode_batch(faces, quality=30)


# ------------------------------------------------------------------------------------------------ what goes in


def test_arrays_tensors_and_pictures_give_the_same_files(codec, faces, blobs):
    batch = torch.from_numpy(faces).permute(0, 3, 1, 2)
    assert codec.encode_batch(list(faces), quality=30) == blobs
    assert codec.encode_batch(batch, quality=30) == blobs
    assert codec.encode_batch(batch.contiguous(), quality=30) == blobs
    assert codec.encode_batch(list(batch), quality=30) == blobs
    assert codec.encode_batch([Image.fromarray(f) for f in faces], quality=30) == blobs
    assert codec.encode_batch((f for f in faces), quality=30) == blobs
    with torch.inference_mode():
        assert codec.encode_batch(batch.clone(), quality=30) == blobs


def test_an_encoded_tensor_comes_back_as_one(codec, faces, blobs):
    pixels = codec.decode_batch(blobs, out="tensor")
    assert pixels.shape == (5, 3, 112, 112) and pixels.dtype == torch.uint8 and not pixels.is_inference()
    for row, array, image in zip(pixels, codec.decode_batch(blobs, out="numpy"), codec.decode_batch(blobs)):
        np.testing.assert_array_equal(row.permute(1, 2, 0), array)
        np.testing.assert_array_equal(np.asarray(image), array)
        assert array.base is None  # of its own, not a view that keeps its whole piece
    assert codec.encode_batch(torch.zeros(0, 3, 112, 112, dtype=torch.uint8)) == []


@pytest.mark.parametrize("shape", [(112, 112, 3), (3, 112, 112), (112, 112)])
@pytest.mark.parametrize("kind", [np.zeros, torch.zeros])
def test_one_array_is_no_batch(codec, shape, kind):
    with pytest.raises(InvalidInputError, match="use encode for one image"):
        codec.encode_batch(kind(shape, dtype=np.uint8 if kind is np.zeros else torch.uint8))


def test_each_image_has_its_quality(codec, faces):
    qualities = [1, 60, 20, 100, 20]
    found = codec.encode_batch(faces, quality=qualities)
    for data, image, quality in zip(found, faces, qualities):
        assert lfic.probe(data).quality == quality
        assert abs(len(data) - len(codec.encode(image, quality=quality))) <= 3
    assert codec.encode_batch(faces, quality=np.array(qualities)) == found
    for wrong, text in (([1, 2], "2 entries for 5"), ([1, 2, 3, 4, 0], "quality is 0"), ([1, 2, 3, 4, 5.5], "5.5")):
        with pytest.raises(InvalidInputError, match=text):
            codec.encode_batch(faces, quality=wrong)


@pytest.mark.parametrize("bound", [{"max_bytes": 300}, {"min_similarity": 0.5}])
def test_a_quality_and_a_bound_exclude_each_other(codec, face, bound):
    with pytest.raises(InvalidInputError, match="exclude"):
        codec.encode(face, quality=40, **bound)


def test_options_are_checked_where_they_are_given(tmp_path):
    with pytest.raises(LficError, match="none.pt"):
        lfic.load_codec(recognizer=tmp_path / "none.pt")
    for options in ({"threads": 257}, {"threads": -1}, {"threads": 1.5}, {"precision": "int8"}):
        with pytest.raises(InvalidInputError, match=next(iter(options))):
            lfic.load_codec(**options)


# ------------------------------------------------------------------------------------------------ errors by index


def test_the_error_of_a_batch_names_the_image(codec, faces):
    images = [faces[0], faces[1].astype(float), faces[2]]
    with pytest.raises(InvalidInputError, match="^image 1: .*float64"):
        codec.encode_batch(images)
    found = codec.encode_batch(images, errors="return")
    assert isinstance(found[1], InvalidInputError) and isinstance(found[2], bytes)
    assert [found[0], found[2]] == codec.encode_batch([faces[0], faces[2]])
    with pytest.raises(InvalidInputError, match="^image 0: max_bytes is 9"):
        codec.encode_batch(faces[:2], max_bytes=9)
    with pytest.raises(InvalidInputError, match="^the array"):  # of one image no index is told
        codec.encode(images[1])
    with pytest.raises(InvalidInputError, match="'return'"):
        codec.encode_batch(images, errors="ignore")


@pytest.mark.parametrize("form", ["meta", "sparse"])
def test_tensors_without_bytes_are_told_in_words(codec, faces, blobs, form):
    dense = torch.from_numpy(faces).permute(0, 3, 1, 2)
    batch = dense.to("meta") if form == "meta" else dense.to_sparse()
    with pytest.raises(InvalidInputError, match="^the tensor's pixels can't be read .*: give a dense one with data"):
        codec.encode(batch[0])
    with pytest.raises(InvalidInputError, match="^image 0: the tensor's pixels"):
        codec.encode_batch(batch)
    found = codec.encode_batch(batch, errors="return")
    assert [type(error) for error in found] == [InvalidInputError] * 5 and str(found[4]).startswith("image 4: ")
    found = codec.encode_batch([dense[0], batch[1]], quality=30, errors="return")
    assert isinstance(found[0], bytes) and isinstance(found[1], InvalidInputError)


def test_a_tensor_has_the_errors_of_its_pictures(codec):
    batch = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    for images in (batch, list(batch), batch.permute(0, 2, 3, 1).numpy()):
        with pytest.raises(InvalidInputError, match="^image 0: aligned=True needs 112 x 112"):
            codec.encode_batch(images, aligned=True)
        found = codec.encode_batch(images, aligned=True, errors="return")
        assert [str(error)[:24] for error in found] == ["image 0: aligned=True ne", "image 1: aligned=True ne"]


def test_a_missing_recogniser_is_no_images_fault(faces):
    codec = lfic.load_codec(recognizer=None)
    with pytest.raises(MissingDependencyError, match="^this needs a face recogniser"):
        codec.encode_batch(faces, min_similarity=0.5, errors="return")


def damage(codec, face):
    """A file whose payload can't be decoded, though its header and its size are sound."""
    data = bytearray(codec.encode(face, quality=90, checksum=False))
    for at in range(40, len(data)):
        found = bytes(data[:at])
        try:
            codec.decode(found)
        except CorruptStreamError:
            return found
    raise AssertionError("every cut decodes")


@pytest.mark.parametrize("out", ["pil", "numpy", "tensor"])
def test_the_error_of_a_batch_names_the_file(codec, face, blobs, out):
    flipped = blobs[1][:-1] + bytes([blobs[1][-1] ^ 1])
    for bad, error in ((b"GIF89a", ContainerError), (flipped, CorruptStreamError), (damage(codec, face), LficError)):
        batch = [*blobs[:2], bad, blobs[3]]
        with pytest.raises(error, match="^file 2: "):
            codec.decode_batch(batch, out=out)
        found = codec.decode_batch(batch, out=out, errors="return")
        assert len(found) == 4 and isinstance(found[2], error)
        good = codec.decode_batch([blobs[0], blobs[1], blobs[3]], out=out)
        for a, b in zip([found[0], found[1], found[3]], good):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
        with pytest.raises(error, match="^(?!file)"):
            codec.decode(bad)


def test_errors_are_found_among_sizes_and_layers(codec, face, photo):
    """The index is the caller's, whatever group of one size a file falls into."""
    points = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]]) + 40
    layered = codec.encode(np.tile(face, (2, 2, 1)), quality=20, faces=[points], checksum=False)
    whole = [codec.encode(face), codec.encode(photo(40, 60)), layered, codec.encode(photo(40, 60)), codec.encode(face)]
    cut = next(c for c in range(len(layered) - 1, 0, -1) if fails(codec, layered[:c]))
    found = codec.decode_batch([*whole[:2], layered[:cut], *whole[3:]], errors="return", out="numpy")
    assert [isinstance(f, LficError) for f in found] == [False, False, True, False, False]
    assert str(found[2]).startswith("file 2: ")
    for a, b in zip(found, codec.decode_batch(whole, out="numpy")):
        assert isinstance(a, LficError) or np.array_equal(a, b)


def fails(codec, data):
    try:
        codec.decode(data)
    except LficError:
        return True
    return False


# ------------------------------------------------------------------------------------------------ how the work is cut


def test_pieces_change_no_decoded_pixel_and_no_order(codec, faces, monkeypatch):
    images = [*faces, faces[0][:50], *faces]
    whole = codec.encode_batch(images, quality=25)
    monkeypatch.setitem(pieces.PIXELS_AT_ONCE, "cpu", 3 * 112**2)
    for a, b in zip(whole, codec.encode_batch(images, quality=25)):
        assert abs(len(a) - len(b)) <= 2
    for a, b in zip(codec.decode_batch(whole, out="numpy"), images):
        assert a.shape == b.shape


class Copies(TorchFunctionMode):
    """Stands in for a GPU: copies to it go to "meta", and ``sent`` has what was copied and whether the host went on at
    once. Memory is pinned that was asked for with ``pin_memory``, or is named beforehand."""

    def __init__(self, pinned=()):
        super().__init__()
        self.sent, self.pinned = [], {t.untyped_storage().data_ptr() for t in pinned}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.is_pinned:
            return args[0].untyped_storage().data_ptr() in self.pinned
        if function is torch.Tensor.to and args[1] == torch.device("cuda"):
            self.sent.append((args[0], kwargs["non_blocking"]))
            return args[0].to("meta")
        pin = kwargs.pop("pin_memory", False)
        found = function(*args, **kwargs)
        if pin:
            self.pinned.add(found.untyped_storage().data_ptr())
        return found


@pytest.mark.parametrize("kind", ["batch", "permuted", "pinned", "expanded", "list", "arrays", "pictures", "mixed"])
@pytest.mark.parametrize("indexes", [[1, 2, 3], [0, 2, 4]])
def test_a_piece_goes_to_a_gpu_in_one_copy_of_pinned_memory(faces, kind, indexes):
    batch = torch.from_numpy(faces).permute(0, 3, 1, 2)
    given = {
        "batch": batch.contiguous(),
        "permuted": batch,
        "pinned": batch.contiguous(),
        "expanded": batch[:1].expand(5, -1, -1, -1),
        "list": list(batch),
        "arrays": list(faces),
        "pictures": [Image.fromarray(f) for f in faces],
        "mixed": [batch[0], *faces[1:4], batch[4].contiguous()],
    }[kind]

    def wrong(*arguments):
        raise AssertionError(arguments)

    pictures = Pictures(given, torch.device("cuda"), lambda width, height: None, wrong)
    with Copies([given] if kind == "pinned" else []) as copies:
        found = pictures.tensor(indexes)
    ((source, at_once),) = copies.sent
    assert at_once and source.untyped_storage().data_ptr() in copies.pinned
    expected = Pictures(given, torch.device("cpu"), lambda width, height: None, wrong).tensor(indexes)
    assert torch.equal(source if source.shape[1] == 3 else source.permute(0, 3, 1, 2), expected)
    assert found.shape == expected.shape and found.is_meta
    if kind == "pinned" and indexes == [1, 2, 3]:
        assert source.data_ptr() == given[1].data_ptr()  # as it lies


def test_what_lies_behind_a_rows_symbols_is_in_no_file(codec, faces, blobs, monkeypatch):
    """On a GPU it is whatever the memory held before."""
    images, plain = [*faces, faces[0][:50], faces[1][:60, :44]], {}
    ways = {"batch": {"quality": 30}, "effort": {"quality": 30, "effort": 1}}
    for name, options in ways.items():
        plain[name] = codec.encode_batch(images, **options)
    assert plain["batch"][:5] == blobs
    seen = []

    def dirty(y, levels, gain, quality, tail=True):
        symbols, counts = rap_quantize(y, levels, gain, quality)
        seen.append(tail)
        for row, kept in zip(symbols, counts.tolist()):
            row[kept:] = torch.iinfo(torch.int16).min
        return symbols, counts

    monkeypatch.setattr(encode, "rap_quantize", dirty)
    monkeypatch.setattr(rap, "rap_quantize", dirty)
    for name, options in ways.items():
        assert codec.encode_batch(images, **options) == plain[name], name
    assert seen and not any(seen)


def test_a_gpu_batch_comes_in_several_pieces():
    cut = [len(p) for p in pieces.pieces([(112, 112)] * 1000, torch.device("cuda"))]
    assert cut == [250, 250, 250, 250]
    assert [len(p) for p in pieces.pieces([(112, 112)] * 70, torch.device("cuda"))] == [64, 6]
    assert max(len(p) for p in pieces.pieces([(112, 112)] * 9999, torch.device("cuda"))) == 512
    assert [len(p) for p in pieces.pieces([(112, 112)] * 40, torch.device("cpu"))] == [16, 16, 8]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("order", [overlap.then_elsewhere, overlap.elsewhere_first])
def test_overlapped_work_keeps_its_order_and_little_waits(order, device):
    started, threads = [], set()

    def begun():
        for i in range(20):
            started.append(i)
            yield i

    def other(i):
        threads.add(threading.current_thread())
        return i + 1

    def own(i):
        return i * 10

    functions = (own, other) if order is overlap.then_elsewhere else (other, own)
    expected = [functions[1](functions[0](i)) for i in range(20)]
    threads.clear()
    for k, found in enumerate(order(begun(), *functions, torch.device(device))):
        assert found == expected[k]
        assert len(started) <= k + 2 + overlap.AHEAD
    assert len(threads) == 1 and (threading.current_thread() in threads) == (device == "cpu")
    assert not any(t.is_alive() for t in threads - {threading.current_thread()})


@pytest.mark.parametrize("order", [overlap.then_elsewhere, overlap.elsewhere_first])
def test_an_error_in_either_thread_ends_the_work(order):
    def bad(i):
        if i == 3:
            raise ValueError("three")
        return i

    for functions in ((bad, str), (str, lambda i: bad(int(i)))):
        before = threading.active_count()
        with pytest.raises(ValueError, match="three"):
            list(order(range(9), *functions, torch.device("cuda")))
        assert threading.active_count() == before


# ------------------------------------------------------------------------------------------------ rows


def drafts_of(codec, faces, quality, mixed):
    levels = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4).repeat(len(faces), 1, 1) % 3 if mixed else None
    return first_drafts(codec.model, list(faces), quality, True, levels)


def rows_of(drafts):
    most = max(len(d.symbols) for d in drafts)
    symbols = np.zeros((len(drafts), most + 96), np.int16)
    for row, draft in zip(symbols, drafts):
        row[: len(draft.symbols)] = draft.symbols
    levels = np.stack([d.levels for d in drafts])
    quality = np.array([d.quality for d in drafts])
    return symbols, levels, 14, 14, quality, np.full(len(drafts), True), np.array([d.level_mode == 3 for d in drafts])


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_coded_as_faces_one_by_one(codec, faces, mixed, threads):
    context, drafts = codec.model.context, drafts_of(codec, faces, 50, mixed)
    symbols, levels, *said = rows_of(drafts)
    payloads, bits = context.encode_rows(symbols, levels, *said, threads)
    assert payloads == [context.encode(d.symbols, d.levels, 14, 14, 50, True, mixed) for d in drafts]
    np.testing.assert_allclose(bits, [estimate_bits(codec.model, d) for d in drafts], rtol=1e-5)
    np.testing.assert_array_equal(bits, context.cost_rows(symbols, levels, *said, threads))
    empty = np.where(mixed, 0, levels).astype(np.uint8)
    found, maps, wrong = context.decode_rows(payloads, empty, *said, threads)
    assert wrong == [] and found.shape[1] == max(len(d.symbols) for d in drafts)
    np.testing.assert_array_equal(maps, levels)
    for row, draft in zip(found, drafts):
        np.testing.assert_array_equal(row[: len(draft.symbols)], draft.symbols)
        assert not row[len(draft.symbols) :].any()


def test_a_damaged_row_is_told_and_the_others_are_read(codec, faces):
    drafts = drafts_of(codec, faces, 80, False)
    symbols, levels, *said = rows_of(drafts)
    payloads, _ = codec.model.context.encode_rows(symbols, levels, *said)
    payloads[3] = payloads[3][:20]
    found, maps, wrong = codec.model.context.decode_rows(payloads, levels, *said, 2)
    ((row, text),) = wrong
    assert row == 3 and "byte" in text and not found[3].any() and not maps[3].any()
    np.testing.assert_array_equal(found[4][: len(drafts[4].symbols)], drafts[4].symbols)


@pytest.mark.parametrize(
    "change, text",
    [
        ({0: np.zeros((5, 96), np.int16)}, "room for 96"),
        ({0: np.zeros((4, 18816), np.int16)}, r"\[5, K\]"),
        ({0: np.zeros((5, 18816), np.int32)}, "int16"),
        ({1: np.zeros((5, 4, 3), np.uint8)}, r"\[5, 4, 4\]"),
        ({1: np.full((5, 4, 4), 3, np.uint8)}, "region level is 3"),
        ({2: 0}, "grid is 0 x 14"),
        ({4: np.full(5, 101)}, "quality is 101"),
        ({4: np.full(5, 2**40)}, "quality is 101"),
        ({4: np.full(4, 40)}, "4, 5 and 5"),
        ({5: np.full(5, 1)}, "bool"),
    ],
)
def test_rows_that_do_not_fit_are_refused(codec, faces, change, text):
    arguments = list(rows_of(drafts_of(codec, faces, 40, False)))
    for at, value in change.items():
        arguments[at] = value
    with pytest.raises(InvalidInputError, match=text):
        codec.model.context.encode_rows(*arguments)


def test_the_maps_bits_are_counted_as_python_counts_them(codec):
    rng, context = np.random.default_rng(3), codec.model.context
    for aligned in (True, False):
        levels = rng.integers(0, 3, (1, 4, 4), dtype=np.uint8)
        kept = int((14 * 14 * np.ones(1)).item())
        said = 14, 14, np.array([33]), np.array([aligned])
        rows = np.zeros((1, kept * 96), np.int16)
        with_map, without = (context.cost_rows(rows, levels, *said, np.array([c])) for c in (True, False))
        assert with_map - without == pytest.approx(map_bits(context.level_prior, levels[0], 33, aligned), abs=1e-9)


def test_the_device_is_in_doubt_where_the_coder_is(codec, faces):
    """The float form of the context model against the integers, far from the threshold and on its right side."""
    sure = 0
    for quality in (10, 40, 70):
        drafts = first_drafts(codec.model, list(faces), quality, True)
        symbols, levels, h, w, q, aligned, coded = rows_of(drafts)
        placed, free = (
            codec.model.former.context.cost_rows(symbols, levels, h, w, q, way, coded) for way in (aligned, ~aligned)
        )
        ratio = placed / free / clear_share(q) / encode.FLOATS_WITHIN
        y = torch.cat([d.features for d in drafts])
        found = encode.in_doubt(codec.model, y, torch.from_numpy(levels), torch.from_numpy(q)).numpy()
        clear = np.abs(ratio - 1) > 0.01
        sure += clear.sum()
        np.testing.assert_array_equal(found[clear], ratio[clear] > 1)
    assert sure >= 12


# ------------------------------------------------------------------------------------------------ headers


def test_the_short_way_through_a_header_is_the_long_way(codec, blobs, photo):
    aligned = [data for data in blobs if lfic.probe(data).aligned]
    assert len(aligned) > 2
    for data in (*blobs, codec.encode(photo(40, 40)), codec.encode(photo(112, 112), checksum=False), b"", b"\xfc\x2a"):
        found = container.usual(data)
        if found is not None:
            assert found[0] == container.read(memoryview(data))[0] and found[1] == container.read(memoryview(data))[1]
    assert all(container.usual(data) for data in aligned)
    second = container.usual(container.write(container.Header(112, 112, 40, 1, model=1), b"payload"))
    assert second is not None and second[0].model == 1 and second[1] == b"payload"
    for at in range(len(aligned[0])):
        flipped = bytearray(aligned[0])
        flipped[at] ^= 0x10
        assert container.usual(bytes(flipped)) is None
    assert container.usual(aligned[0], max_pixels=112 * 112 - 1) is None


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("size", [(112, 112), (90, 200)])
def test_many_files_are_written_as_one_is(size, checksum):
    payloads, qualities, modes = [b"abc", b"", b"\x00" * 9, b"x"], [1, 40, 40, 100], [0, 3, 1, 3]
    expected = [
        container.write(container.Header(*size, q, mode, False, checksum, 255), payload)
        for payload, q, mode in zip(payloads, qualities, modes)
    ]
    assert container.write_all(payloads, qualities, modes, *size, False, checksum, 255) == expected


# ------------------------------------------------------------------------------------------------ cores and precision


def test_cores_are_those_that_the_process_may_use(monkeypatch, tmp_path):
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(cores, "CGROUP", quota)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: range(12), raising=False)
    for text, expected in (("max 100000", 12), ("350000 100000", 4), ("10000 100000", 1), ("", 12)):
        quota.write_text(text)
        cores.cores.cache_clear()
        assert cores.cores() == expected
    cores.cores.cache_clear()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert (cores.coder_threads(0), cores.coder_threads(7)) == (1, 7)


def test_another_precision_gives_files_that_decode_as_any(codec, faces):
    half = lfic.load_codec(precision="bfloat16")
    found = half.encode_batch(faces, quality=30)
    for a, b in zip(found, codec.encode_batch(faces, quality=30)):
        assert abs(len(a) - len(b)) <= 0.05 * len(b)
    exact, near = (c.decode_batch(found, out="tensor").int() for c in (codec, half))
    assert 0 < (exact - near).abs().max() <= 12 and (exact - near).abs().float().mean() < 0.7


# ------------------------------------------------------------------------------------------------ on a GPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpus_files_decode_anywhere(codec, faces):
    """What stays on the device, what its two threads do, and that its files hold the same for a CPU."""
    gpu = lfic.load_codec(device="cuda")
    batch = torch.from_numpy(np.concatenate([faces] * 60)).permute(0, 3, 1, 2).cuda()
    found = gpu.encode_batch(batch, quality=40)
    assert found == gpu.encode_batch(batch, quality=40)
    assert found[:5] == found[-5:] or sum(a != b for a, b in zip(found[:5], found[-5:])) <= 1
    on_cpu = codec.encode_batch(faces, quality=40)
    for a, b in zip(found, on_cpu):
        assert abs(len(a) - len(b)) <= 0.02 * len(b) + 2
    pixels = gpu.decode_batch(found, out="tensor")
    assert pixels.is_cuda and pixels.shape == batch.shape
    assert (pixels[:5].cpu().int() - codec.decode_batch(found[:5], out="tensor").int()).abs().max() <= 1
    mixed = [*found[:3], found[3][:40], *found[4:]]
    assert isinstance(gpu.decode_batch(mixed, out="tensor", errors="return")[3], CorruptStreamError)
    images = [np.asarray(f) for f in faces]
    assert [len(b) for b in gpu.encode_batch(images, quality=40)] == pytest.approx([len(b) for b in on_cpu], abs=8)
