"""lfic files of any source as a data set of torch, and as a decoder of webdataset.

    faces = FaceDataset("faces-*.tar")                            # map-style: len, [i], shuffled by a sampler
    faces = FaceDataset("faces.parquet", decode=False)            # bytes; batches are decoded where they are used:
    loader = DataLoader(faces, 64, num_workers=4, collate_fn=FaceBatches(device="cuda"))
    stream = FaceStream("faces-*.tar", batch=64)                  # iterable: any count, no index
    samples = webdataset.WebDataset("faces.tar").decode(lfic.data.decode)

Everything here can be pickled, and holds no codec until it decodes: workers load theirs, whether forked or spawned.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from torch.utils.data import Dataset, IterableDataset

from ..arguments import integer
from ..errors import InvalidInputError, LficError
from ..files import PathLike
from .decoding import Decoder, Form, only_thread
from .numbered import index_of
from .records import Record, open_source
from .records.parquet import ParquetSource
from .records.rec import RecSource
from .records.tar import TarSource

if TYPE_CHECKING:
    from torch import Tensor

Sample: TypeAlias = dict[str, Any]


class FaceDataset(Dataset[Sample]):
    """The records of a source by number: {"image", "key", and what else is known of it: "label", ...}.

    Args:
        source: folder, .tar, .parquet or .rec shards, as ``lfic.data.open_source`` has them; tars must be plain.
        out, device: of "image", see ``Decoder``. A device other than "cpu" needs ``num_workers=0``, or
            ``decode=False`` and ``FaceBatches``.
        decode: False: "image" is the record's bytes.
        transform: what is made of "image".

    Memory: the records' names and places; of a parquet file a column of offsets.

    Raises:
        InvalidInputError: there is nothing, or a shard that can't be read at random.
    """

    def __init__(
        self,
        source: PathLike,
        *,
        out: Form = "tensor",
        device: str = "cpu",
        decode: bool = True,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self.decoder, self.decode, self.transform = Decoder(device, out), decode, transform
        self.index = index_of(source)
        if not len(self.index):
            raise InvalidInputError(f"there are no faces in {source}")

    def __len__(self) -> int:
        return len(self.index)

    def record(self, i: int) -> Record:
        """A record as it is stored."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"number {i} of {len(self)} records")
        return self.index[i % len(self)]

    def __getitem__(self, i: int) -> Sample:
        return self.__getitems__([i])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Sample]:
        """Several at once, as a DataLoader asks for a batch: decoded together."""
        only_thread()
        return samples([self.record(int(i)) for i in numbers], self.decoder if self.decode else None, self.transform)


class FaceStream(IterableDataset[Sample]):
    """The records of a source one after the other, any count of them: an iterable data set of torch.

    Each worker of a DataLoader, and each process of a distributed run, has its own shards; a folder's records are
    dealt out one by one. Samples are those of ``FaceDataset``; give the DataLoader ``batch_size=None`` where ``batch``
    is set, and samples come as lists.

    Args:
        source, out, device, decode, transform: as for ``FaceDataset``.
        batch: records that are decoded together, 1 to 4096.
        shuffle: records that are held and given out in random order; 0: the source's order. seed: of that order.
        rank, world: of a distributed run; None: as torch.distributed has them.
        strict: False: records that can't be decoded are passed over and counted in ``failed``.

    Shuffled orders differ from epoch to epoch. Without workers iteration n, from 0, has the order of ``seed`` and n.
    Workers add the base seed that torch draws for each iterator of a DataLoader: ``torch.manual_seed``, or the
    DataLoader's ``generator``, makes their orders the same again. After ``set_epoch(n)`` the order is that of ``seed``
    and n alone until it is called anew. The processes of a distributed run agree on the order of shards, so with
    workers that are not persistent it is ``set_epoch`` alone that changes which shards a process reads.
    """

    def __init__(
        self,
        source: PathLike,
        *,
        out: Form = "tensor",
        device: str = "cpu",
        decode: bool = True,
        transform: Callable[[Any], Any] | None = None,
        batch: int = 64,
        shuffle: int = 0,
        seed: int = 0,
        rank: int | None = None,
        world: int | None = None,
        strict: bool = True,
    ) -> None:
        import torch

        if not 1 <= batch <= 4096:
            raise InvalidInputError(f"batch is {batch}; allowed are 1 to 4096")
        if shuffle < 0:
            raise InvalidInputError(f"shuffle is {shuffle}; allowed are 0 and up")
        self.source, self.decoder, self.decode, self.transform = source, Decoder(device, out), decode, transform
        self.batch, self.shuffle, self.seed, self.strict = batch, shuffle, seed, strict
        self.rank, self.world = rank, world
        self.failed = self.iterations = 0
        self.told = torch.tensor(-1, device="cpu")  # the epoch of ``set_epoch``; workers see it change
        self.told.share_memory_()  # type: ignore[no-untyped-call]
        open_source(source)  # a wrong path is told here

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.told.share_memory_()  # type: ignore[no-untyped-call]  # in a spawned worker it still is

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next, as for ``DistributedSampler``; persistent workers hear of it as well.

        Raises:
            InvalidInputError: no integer, or one below 0.
        """
        self.told.fill_(integer("epoch", epoch, 0, (1 << 63) - 1))

    def __iter__(self) -> Iterator[Sample]:
        common, own = self._chances()  # here and not when the first sample is asked for: all workers count alike
        self.iterations += 1
        return self._iterate(common, own)

    def _chances(self) -> tuple[random.Random, random.Random]:
        """What the order of shards is drawn from, the same in all workers of all processes, and that of records."""
        from torch.utils.data import get_worker_info

        told, worker = int(self.told), get_worker_info()
        common = own = f"{self.seed} {self.iterations if told < 0 else told}"
        if told < 0 and worker is not None:  # a worker of one epoch is a copy that counts no other
            own += f" {worker.seed - worker.id}"  # torch's base seed, of which each process draws its own
        return random.Random(own if self._process()[1] == 1 else common), random.Random(own)

    def _iterate(self, common: random.Random, own: random.Random) -> Iterator[Sample]:
        only_thread()
        some: list[Record] = []
        for record in shuffled(self._mine(common), self.shuffle, own):
            some.append(record)
            if len(some) == self.batch:
                yield from self._samples(some)
                some = []
        yield from self._samples(some)

    def _samples(self, some: list[Record]) -> list[Sample]:
        decoder = self.decoder if self.decode else None
        try:
            return samples(some, decoder, self.transform)
        except LficError:
            if self.strict:
                raise
        out = []
        for record in some:
            try:
                out += samples([record], decoder, self.transform)
            except LficError:
                self.failed += 1
        return out

    def _mine(self, chance: random.Random) -> Iterator[Record]:
        """The records of this worker of this process."""
        number, count = self._place()
        found = open_source(self.source)
        if isinstance(found, (TarSource, ParquetSource, RecSource)):
            paths = list(found.paths)
            if self.shuffle:
                chance.shuffle(paths)
            if len(paths) >= count:
                yield from (record for path in paths[number::count] for record in type(found)([path]).records())
                return
        for i, record in enumerate(found.records()):  # too few shards: all are read, each record by one worker
            if i % count == number:
                yield record

    def _place(self) -> tuple[int, int]:
        """(this one's number, how many there are) of workers of all processes."""
        from torch.utils.data import get_worker_info

        rank, world = self._process()
        worker = get_worker_info()
        if worker is None:
            return rank, world
        return rank * worker.num_workers + worker.id, world * worker.num_workers

    def _process(self) -> tuple[int, int]:
        """(this process's number, how many there are) of a distributed run."""
        from torch import distributed

        if self.rank is not None and self.world is not None:
            return self.rank, self.world
        there = distributed.is_available() and distributed.is_initialized()
        return (distributed.get_rank(), distributed.get_world_size()) if there else (0, 1)


def shuffled(records: Iterable[Record], held: int, chance: random.Random) -> Iterator[Record]:
    """Records in the order of a buffer that holds so many."""
    if not held:
        yield from records
        return
    some: list[Record] = []
    for record in records:
        if len(some) < held:
            some.append(record)
            continue
        i = chance.randrange(held)
        some[i], record = record, some[i]
        yield record
    chance.shuffle(some)
    yield from some


def samples(records: Sequence[Record], decoder: Decoder | None, transform: Callable[[Any], Any] | None) -> list[Sample]:
    """What data sets give of records."""
    blobs = [record.data for record in records]
    try:
        images = blobs if decoder is None else decoder(blobs)
    except LficError as error:
        if len(records) > 1:  # which one it was is told
            return [sample for record in records for sample in samples([record], decoder, transform)]
        raise type(error)(f"{records[0].name}: {error}") from None
    shown = images if transform is None else [transform(image) for image in images]
    return [{**record.meta, "key": record.key, "image": image} for record, image in zip(records, shown)]


class FaceBatches:
    """A ``collate_fn``: samples whose images are bytes (``decode=False``) to a batch that is decoded at once.

    With ``device="cuda"`` the DataLoader's workers only read, and the process that trains calls this on what they give:
    ``for batch in map(FaceBatches("cuda"), DataLoader(faces, 64, num_workers=4, collate_fn=list))``.

    Args:
        device: of torch.
        transform: what is made of the batch's images, uint8 [N, 3, H, W].
    """

    def __init__(self, device: str = "cpu", transform: Callable[["Tensor"], Any] | None = None) -> None:
        self.decoder, self.transform = Decoder(device), transform

    def __call__(self, some: Sequence[Sample]) -> Sample:
        """Samples -> {"image": uint8 [N, 3, H, W] on the device, and each name that one of them has}.

        Numbers become a tensor, [N]. Others stay a list of N, as integers beyond int64 do, and what some samples lack:
        it has None in their places.

        Raises:
            InvalidInputError: pictures of several sizes.
        """
        import torch

        only_thread()
        images = self.decoder([sample["image"] for sample in some])
        if len({image.shape for image in images}) > 1:
            raise InvalidInputError(
                f"a batch has pictures of several sizes, {sorted({tuple(image.shape[1:]) for image in images})}: make "
                "them one size by FaceDataset(transform=...)"
            )
        batch: Sample = {"image": torch.stack(images)}
        if self.transform is not None:
            batch["image"] = self.transform(batch["image"])
        for name in dict.fromkeys(name for sample in some for name in sample if name != "image"):
            values = [sample.get(name) for sample in some]
            batch[name] = torch.tensor(values) if all(map(fits_a_tensor, values)) else values
        return batch


def fits_a_tensor(value: object) -> bool:
    """Whether a value is a number that torch has a dtype for."""
    if isinstance(value, bool) or not isinstance(value, int):
        return isinstance(value, float)
    return -(1 << 63) <= value < 1 << 63
