"""Compute the content of a disk at each time of a run, by replaying its writes and syncs from strace.

After a power cut, a file has the content of its last sync, and a directory has the names of its last sync. Later
writes are lost, or half of them: a disk may write any of them, in any order.
"""

import os
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

CALLS = "openat,mkdir,write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,unlinkat,rmdir"
OPTIONS = ("-xx", "-s", "200000", "-e", f"trace={CALLS}")

_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)(.*)$")
_HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_ON_FILE = re.compile(r"\d+<((?:\\x[0-9a-f]{2})*)>")
_SOCKET = "".join(f"\\x{byte:02x}" for byte in b"socket:")


class Event(NamedTuple):
    """One successful system call: its name, the path of its file, its texts and its numbers."""

    call: str
    path: str
    texts: list[bytes]
    numbers: list[int]


def events(trace: Path) -> Iterator[Event]:
    """Yield the calls of a trace in the order in which they end. Calls to a socket count when they begin."""
    begun: dict[str, str] = {}
    for line in trace.read_text().splitlines():
        thread, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.strip().removesuffix(" <unfinished ...>")
            if _SOCKET not in rest:
                continue
            line = f"{thread} {begun.pop(thread)}) = 1"
        elif resumed := re.match(r" *<\.\.\. \w+ resumed>(.*)$", rest):
            if thread not in begun:
                continue
            line = f"{thread} {begun.pop(thread)}{resumed[1]}"
        found = _LINE.match(line)
        if found is None or int(found[4]) < 0:
            continue
        texts = [_bytes(text) for text in _HEX.findall(found[3])]
        on_file = _ON_FILE.search(found[3] if found[2] != "openat" else found[5])
        path = os.fsdecode(_bytes(on_file[1])) if on_file else ""
        bare = _ON_FILE.sub("", _HEX.sub("", found[3]))
        yield Event(found[2], path, texts, [int(number) for number in re.findall(r"\b\d+\b", bare)])


class File:
    """The content that programs see, the content on disk, and the writes since the last sync."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.held = b""
        self.since: list[tuple[int, bytes]] = []
        self.directory = False

    def write(self, data: bytes, place: int | None) -> None:
        place = len(self.seen) if place is None else place
        _put(self.seen, data, place)
        self.since.append((place, data))

    def sync(self) -> None:
        self.held = bytes(self.seen)
        self.since.clear()


class Disk:
    """The files in ``root`` while the calls of a trace are replayed."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._seen: dict[str, File] = {}
        self._held: dict[str, File] = {}
        self.syncs = 0

    def play(self, event: Event) -> None:
        path = event.path
        if event.call in ("openat", "mkdir", "rename", "unlink", "rmdir"):
            self._name(event)
        elif event.call == "unlinkat":
            self._seen.pop(f"{path}/{os.fsdecode(event.texts[0])}", None)
        elif path == self._root or path.startswith(f"{self._root}/"):
            self._change(event)

    def _name(self, event: Event) -> None:
        paths = [os.path.normpath(f"{self._root}/{os.fsdecode(text)}") for text in event.texts]
        paths = [
            os.fsdecode(text) if text.startswith(b"/") else path
            for text, path in zip(event.texts, paths, strict=True)
        ]
        if not paths[0].startswith(f"{self._root}/"):
            return
        if event.call == "rename":
            self._seen[paths[1]] = self._seen.pop(paths[0])
        elif event.call in ("unlink", "rmdir"):
            self._seen.pop(paths[0], None)
        else:
            self._seen.setdefault(paths[0], File()).directory |= event.call == "mkdir"

    def _change(self, event: Event) -> None:
        if event.call in ("fsync", "fdatasync"):
            self.syncs += 1
        if event.path in self._seen and not self._seen[event.path].directory:
            file = self._seen[event.path]
            match event.call:
                case "write":
                    file.write(event.texts[0], None)
                case "pwrite64":
                    file.write(event.texts[0], event.numbers[-1])
                case "ftruncate":
                    del file.seen[event.numbers[-1] :]
                case _:
                    file.sync()
        elif event.call in ("fsync", "fdatasync"):
            below = {path: file for path, file in self._seen.items() if os.path.dirname(path) == event.path}  # noqa: PTH120 - text
            gone = {path for path in self._held if os.path.dirname(path) == event.path} - below.keys()  # noqa: PTH120 - text
            self._held = {path: file for path, file in self._held.items() if path not in gone} | below

    def bring_back(self, place: Path, dice: random.Random | None = None) -> None:
        """Create the files after a power cut in ``place``. With ``dice``, some unsynced writes are included."""
        for path, file in sorted(self._held.items()):
            target = place / Path(path).relative_to(self._root)
            if not target.parent.is_dir():
                continue
            if file.directory:
                target.mkdir(mode=0o700)
                continue
            content = bytearray(file.held)
            for where, data in file.since:
                for start in range(0, len(data), 512):
                    if dice is not None and dice.random() < 0.5:
                        _put(content, data[start : start + 512], where + start)
            target.write_bytes(content)


def _bytes(text: str) -> bytes:
    """Return the bytes that strace prints as ``\\x2f\\x74``."""
    return bytes.fromhex(text.replace("\\x", ""))


def _put(content: bytearray, data: bytes, place: int) -> None:
    content.extend(bytes(max(0, place - len(content))))
    content[place : place + len(data)] = data


def stopped_key(event: Event) -> str | None:
    """Return the key of the stop that this call sends, or None."""
    found = re.match(rb"PUT /v1/bulk/(\w{32})/stop ", event.texts[0]) if event.texts else None
    return found[1].decode() if found and event.call == "write" and "socket:" in event.path else None


def moments(trace: Sequence[Event], root: Path) -> Iterator[tuple[Disk, Event, list[str]]]:
    """Yield the disk after each call, the call, and the keys whose stops were sent so far."""
    disk, sent = Disk(root), list[str]()
    for event in trace:
        if key := stopped_key(event):
            sent.append(key)
        disk.play(event)
        yield disk, event, sent
