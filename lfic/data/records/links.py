"""Links in tar files: members without bytes of their own."""

import contextlib
import lzma
import pathlib
import posixpath
import tarfile
import zlib


class Links:
    """What the hard and symbolic links of one tar file lead to. They are looked for in one more pass, when the first
    link is met; memory is then that of all headers.

    Args:
        path: the file.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.tar: tarfile.TarFile | None = None
        self.found: dict[str, tarfile.TarInfo] = {}

    def target(self, link: tarfile.TarInfo) -> tarfile.TarInfo | None:
        """The regular member whose bytes a link stands for; None: there is none in the file, or in what can be read of
        one that is damaged."""
        if self.tar is None:
            self.tar = tarfile.open(self.path, "r:*")  # noqa: SIM115  (open as long as its members are read)
            with contextlib.suppress(tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError):
                for one in self.tar:
                    if not one.isdir():
                        self.found[plain(one.name)] = one
        seen: set[str] = set()
        member: tarfile.TarInfo | None = link
        while member is not None and not member.isfile():
            place = member.linkname
            if member.issym() and not place.startswith("/"):
                place = posixpath.join(posixpath.dirname(member.name), place)
            elif not member.islnk():  # out of the archive, or no link at all
                return None
            name = plain(place)
            if name in seen:
                return None
            seen.add(name)
            member = self.found.get(name)
        return member

    def read(self, link: tarfile.TarInfo) -> bytes | None:
        """The bytes that a link stands for; None: there are none in the file."""
        member = self.target(link)
        content = None if member is None or self.tar is None else self.tar.extractfile(member)
        return None if content is None else content.read()

    def close(self) -> None:
        """Let go of the file."""
        if self.tar is not None:
            self.tar.close()


def plain(name: str) -> str:
    """A member's name without what says nothing."""
    return posixpath.normpath(name).lstrip("/")
