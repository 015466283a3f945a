"""A worker process: takes portions of records from its standard input, gives outcomes on its standard output.

It is started as a program of its own and never imports the caller's main module, so that notebooks and scripts without
an ``if __name__ == "__main__"`` can use several. It ends when its parent does: at once, whatever it is doing.
"""

import contextlib
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import time
from typing import IO, Any

LENGTH = struct.Struct("<Q")


def write_frame(file: IO[bytes], value: Any) -> None:
    """One object, after its length."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    file.write(LENGTH.pack(len(data)))
    file.write(data)
    file.flush()


def read_frame(file: IO[bytes]) -> Any:
    """The next object.

    Raises:
        EOFError: the other side has gone.
    """
    head = file.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(head)
    data = file.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)


def take(file: IO[bytes], tasks: "queue.SimpleQueue[Any]") -> None:
    """Queue what arrives; leave with the parent."""
    while True:
        try:
            tasks.put(read_frame(file))
        except (EOFError, OSError):
            os._exit(1)


def watch(parent: int) -> None:
    """A process that was forked off the parent may hold its end of the pipe open: look who the parent is, too."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main(parent: int) -> None:
    """Answer until the parent closes the pipe or sends None; parent: its process number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what somebody prints is no answer
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=watch, args=(parent,), daemon=True).start()
    work = read_frame(sys.stdin.buffer)
    threading.Thread(target=take, args=(sys.stdin.buffer, tasks), daemon=True).start()
    try:
        work.prepare()
        torch = sys.modules.get("torch")
        if torch is not None:  # the processes are the parallelism; and results do not depend on their number
            torch.set_num_threads(1)
    except Exception as error:
        write_frame(answers, ("failed", error if is_sendable(error) else RuntimeError(str(error))))
        return
    write_frame(answers, ("ready", None))
    while (task := tasks.get()) is not None:
        number, records = task
        write_frame(answers, (number, work(records)))


def is_sendable(error: Exception) -> bool:
    """Whether an error can be sent and made again on the other side."""
    with contextlib.suppress(Exception):
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    return False
