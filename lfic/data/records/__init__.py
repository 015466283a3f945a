"""Sources and sinks of records: what goes into an archive of faces and comes out of it, one after the other.

    for record in open_source("photos/"): record.key, record.data, record.meta
    with open_sink("faces.parquet", shard_bytes=256 << 20) as sink: sink.write(Record("a/b", ".lfic", data))

    folder/            picture and .lfic files at any depth (folder.py)
    faces.tar          tar files in WebDataset's layout (tar.py)
    faces.parquet      parquet files in the layout of Hugging Face datasets (parquet.py)
    faces.rec          MXNet's and InsightFace's records, with their .idx (rec.py)

A source is read and a sink is written as a stream: both take the memory of a few records, whatever their count.
"""

from .opening import KINDS, open_sink, open_source, open_sources
from .record import LFIC, Record, RecordSink, RecordSource, ShardWriter

__all__ = [
    "KINDS",
    "LFIC",
    "Record",
    "RecordSink",
    "RecordSource",
    "ShardWriter",
    "open_sink",
    "open_source",
    "open_sources",
]
