"""lfic files in training: by number and as a stream, over every source, in workers that are forked and spawned."""

import io
import pickle
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import lfic.data
from lfic.data import FaceBatches, FaceDataset, FaceStream, Record, open_sink, open_source
from lfic.errors import CorruptStreamError, InvalidInputError

COUNT = 11


@pytest.fixture(scope="module")
def blobs(codec, face):
    return codec.encode_batch([np.roll(face, 5 * i, 1) for i in range(COUNT)], quality=10)


@pytest.fixture(scope="module")
def pixels(codec, blobs):
    return codec.decode_batch(blobs, out="tensor")


@pytest.fixture(scope="module", params=["folder", "one.tar", "several.tar", "one.parquet", "several.parquet", "x.rec"])
def source(request, tmp_path_factory, blobs):
    path = tmp_path_factory.mktemp("source") / request.param
    with open_sink(path, 900 if "several" in request.param else 1 << 20) as sink:
        for i, blob in enumerate(blobs):
            sink.write(Record(f"people/{i:02}", ".lfic", blob, {"label": i}))
    return path


def same(image, wanted):
    return int((image.to(torch.int16) - wanted.to(torch.int16)).abs().max()) <= 1


def test_by_number(source, pixels):
    faces = FaceDataset(source)
    assert len(faces) == COUNT
    for i in (3, 0, COUNT - 1, -1):
        sample = faces[i]
        assert sample["label"] == i % COUNT and sample["key"] == f"people/{i % COUNT:02}"
        assert sample["image"].dtype == torch.uint8 and same(sample["image"], pixels[i])
    with pytest.raises(IndexError, match="number 11 of 11"):
        faces[COUNT]
    assert same(pickle.loads(pickle.dumps(faces))[2]["image"], pixels[2])


def test_as_a_stream(source, pixels):
    samples = list(FaceStream(source, batch=4))
    assert [sample["label"] for sample in samples] == list(range(COUNT))
    assert all(same(sample["image"], pixels[sample["label"]]) for sample in samples)


def test_a_stream_is_shuffled_anew_each_epoch(source):
    stream = FaceStream(source, shuffle=6, decode=False)
    epochs = [[sample["label"] for sample in stream] for _ in range(3)]
    assert all(sorted(labels) == list(range(COUNT)) for labels in epochs)
    assert epochs[0] != epochs[1] and epochs[1] != epochs[2]
    assert [sample["label"] for sample in FaceStream(source, shuffle=6, decode=False)] == epochs[0]


def orders(loader, count=3):
    return [[sample["label"] for sample in loader] for _ in range(count)]


def loader_of(stream, workers, seed=None, context="fork", persistent=False):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    context = context if workers else None
    return DataLoader(
        stream,
        None,
        num_workers=workers,
        generator=generator,
        multiprocessing_context=context,
        persistent_workers=persistent,
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """30 records in more than eight shards."""
    path = tmp_path_factory.mktemp("shards") / "x.tar"
    with open_sink(path, 250) as sink:
        for i in range(30):
            sink.write(Record(f"{i:02}", ".lfic", b"x" * 100, {"label": i}))
    assert len(open_source(path).paths) > 8
    return path


@pytest.mark.parametrize("workers, context, persistent", [(1, "fork", False), (2, "spawn", True), (2, "fork", True)])
def test_workers_shuffle_anew_each_epoch(shards, workers, context, persistent):
    def found(seed=0, generator=5):
        stream = FaceStream(shards, shuffle=20, decode=False, seed=seed)
        return orders(loader_of(stream, workers, generator, context, persistent))

    epochs = found()
    assert all(sorted(labels) == list(range(30)) for labels in epochs)
    assert len({*map(tuple, epochs)}) == 3
    if context == "fork":
        assert found() == epochs
        assert found(seed=1)[0] != epochs[0] and found(generator=6)[0] != epochs[0]


@pytest.mark.parametrize("context, persistent", [("fork", False), ("fork", True), ("spawn", True)])
def test_set_epoch_alone_says_the_order(shards, context, persistent):
    stream = FaceStream(shards, shuffle=20, decode=False)
    alone = orders(stream)
    other = pickle.loads(pickle.dumps(FaceStream(shards, shuffle=20, decode=False)))
    loader = loader_of(other, 1, None, context, persistent)
    for epoch in (2, 0, 1, 1):
        stream.set_epoch(epoch)
        other.set_epoch(epoch)
        assert orders(stream, 1) == orders(loader, 1) == [alone[epoch]]
    for wrong in (-1, 1.5, True, None):
        with pytest.raises(InvalidInputError, match="epoch is"):
            stream.set_epoch(wrong)


def test_processes_whose_base_seeds_differ_share_the_records(shards):
    streams = [FaceStream(shards, shuffle=20, decode=False, rank=rank, world=2) for rank in range(2)]
    loaders = [loader_of(stream, 2, 7 + rank) for rank, stream in enumerate(streams)]
    first, second = ([orders(loader, 1)[0] for loader in loaders] for _ in range(2))
    assert sorted(first[0] + first[1]) == sorted(second[0] + second[1]) == list(range(30))
    assert first[0] != second[0] and sorted(first[0]) == sorted(second[0])
    for stream in streams:
        stream.set_epoch(1)
    third = [orders(loader, 1)[0] for loader in loaders]
    assert sorted(third[0] + third[1]) == list(range(30)) and sorted(third[0]) != sorted(first[0])


@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_record_comes_once_whatever_the_workers(source, workers, world):
    labels = []
    for rank in range(world):
        stream = FaceStream(source, decode=False, rank=rank, world=world)
        loader = DataLoader(stream, None, num_workers=workers, multiprocessing_context="fork" if workers else None)
        labels += [sample["label"] for sample in loader]
    assert sorted(labels) == list(range(COUNT))


@pytest.fixture(scope="module")
def tar(tmp_path_factory, blobs):
    path = tmp_path_factory.mktemp("tar") / "faces.tar"
    with open_sink(path) as sink:
        for i, blob in enumerate(blobs):
            sink.write(Record(f"people/{i:02}", ".lfic", blob, {"label": i, "name": f"n{i}"}))
    return path


def collated(loader, pixels):
    batches = list(loader)
    labels = torch.cat([batch["label"] for batch in batches]).tolist()
    assert sorted(labels) == list(range(COUNT))
    for batch in batches:
        for image, label, name in zip(batch["image"], batch["label"], batch["name"]):
            assert same(image, pixels[label]) and name == f"n{label}"


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_decode(tar, pixels, context):
    """Forked after the codec was used here, and spawned."""
    faces = FaceDataset(tar)
    faces[0]
    collated(DataLoader(faces, 4, shuffle=True, num_workers=2, multiprocessing_context=context), pixels)


def test_batches_are_decoded_where_they_are_used(tar, pixels):
    faces = FaceDataset(tar, decode=False)
    assert isinstance(faces[0]["image"], bytes)
    collated(DataLoader(faces, 4, collate_fn=FaceBatches()), pixels)
    collated(map(FaceBatches("cpu"), DataLoader(faces, 4, num_workers=2, collate_fn=list)), pixels)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_are_decoded_on_a_gpu(tar, pixels):
    faces = FaceDataset(tar, decode=False)
    for batch in map(FaceBatches("cuda"), DataLoader(faces, 4, num_workers=2, collate_fn=list)):
        assert batch["image"].is_cuda
        for image, label in zip(batch["image"].cpu(), batch["label"]):
            assert same(image, pixels[label])


def test_forms_and_transforms(tar, pixels):
    assert FaceDataset(tar, out="numpy")[1]["image"].shape == (112, 112, 3)
    assert FaceDataset(tar, out="pil")[1]["image"].size == (112, 112)
    assert FaceDataset(tar, transform=lambda image: image.float().mean())[1]["image"].shape == ()


def test_pictures_of_other_formats_stand_among_them(tmp_path, blobs, pixels, face):
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "PNG")
    with open_sink(tmp_path / "mixed.tar") as sink:
        sink.write(Record("a", ".lfic", blobs[0]))
        sink.write(Record("b", ".png", buffer.getvalue()))
    first, second = FaceDataset(tmp_path / "mixed.tar").__getitems__([0, 1])
    assert same(first["image"], pixels[0])
    np.testing.assert_array_equal(second["image"].permute(1, 2, 0), face)


def test_damage_is_told_by_name_or_passed_over(tmp_path, blobs):
    with open_sink(tmp_path / "bad.tar") as sink:
        for i, blob in enumerate((blobs[0], blobs[1][:-3] + b"???", blobs[2])):
            sink.write(Record(f"f{i}", ".lfic", blob, {"label": i}))
    with pytest.raises(CorruptStreamError, match=r"f1\.lfic: the checksum"):
        FaceDataset(tmp_path / "bad.tar").__getitems__([0, 1, 2])
    stream = FaceStream(tmp_path / "bad.tar", strict=False)
    assert [sample["label"] for sample in stream] == [0, 2] and stream.failed == 1
    with pytest.raises(CorruptStreamError, match=r"f1\.lfic"):
        list(FaceStream(tmp_path / "bad.tar"))


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda path: FaceDataset(path / "none.tar"), "nothing at"),
        (lambda path: FaceDataset(path / "empty"), "no faces in"),
        (lambda path: FaceDataset(path / "packed.tar"), "no plain tar file"),
        (lambda path: FaceDataset(path / "empty", out="jpeg"), "out is 'jpeg'"),
        (lambda path: FaceStream(path / "empty", batch=0), "batch is 0"),
        (lambda path: FaceStream(path / "empty", shuffle=-1), "shuffle is -1"),
        (lambda path: FaceStream(path / "none"), "nothing at"),
    ],
)
def test_what_is_refused(tmp_path, call, text):
    (tmp_path / "empty").mkdir()
    with tarfile.open(tmp_path / "packed.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.lfic"))
    with pytest.raises(InvalidInputError, match=text):
        call(tmp_path)


def test_batches_of_several_sizes_are_refused(codec, blobs, face):
    some = [{"image": blobs[0]}, {"image": codec.encode(face[:50], quality=5)}]
    with pytest.raises(InvalidInputError, match="several sizes"):
        FaceBatches()(some)


def test_what_some_samples_of_a_batch_lack_is_none(blobs):
    def batch(*metas):
        return FaceBatches()([{"image": blobs[0], **meta} for meta in metas])

    for metas, labels in (([{}, {"label": 3}], [None, 3]), ([{"label": 3}, {}], [3, None])):
        assert batch(*metas)["label"] == labels
    mixed = batch({"a": 1}, {"b": 0.5}, {"a": "x", "c": True})
    assert mixed.keys() == {"image", "a", "b", "c"}
    assert (mixed["a"], mixed["b"], mixed["c"]) == ([1, None, "x"], [None, 0.5, None], [None, None, True])


def test_labels_that_no_tensor_holds_stay_a_list(blobs):
    for labels in ([2**70, 1], [1, -(2**63) - 1], [2**63, 0.5]):
        assert FaceBatches()([{"image": blobs[0], "label": label} for label in labels])["label"] == labels
    ends = [2**63 - 1, -(2**63)]
    assert FaceBatches()([{"image": blobs[0], "label": label} for label in ends])["label"].tolist() == ends


def test_webdataset_decodes(tar, pixels):
    import webdataset

    samples = list(webdataset.WebDataset(str(tar), shardshuffle=False).decode(lfic.data.decode))
    assert [sample["json"]["label"] for sample in samples] == list(range(COUNT))
    assert all(same(sample["lfic"], pixels[i]) for i, sample in enumerate(samples))
    assert lfic.data.decode("a.png", b"") is None
    assert len(list(open_source(tar))) == COUNT
