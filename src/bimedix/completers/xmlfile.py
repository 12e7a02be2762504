"""XML of other people as a stream of elements: no entity declarations, no network, places in every error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from bimedix.errors import DataError
from bimedix.files import open_bytes


class Found(NamedTuple):
    """An element that was asked for, whole, with local names: `{urn:...}term` is `term`."""

    element: Element
    line: int
    root: Element
    """The root's name and attributes, without what is inside."""


class _Reader:
    """Builds the wanted elements while expat walks the file; everything else is passed by."""

    def __init__(self, path: Path, wanted: frozenset[str]) -> None:
        self.path, self.wanted = path, wanted
        self.found: list[Found] = []
        self._root: Element | None = None
        self._builder: TreeBuilder | None = None
        self._depth = self._line = self.root_line = 0
        self.parser: Any = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text
        self.parser.EntityDeclHandler = self.refuse_entity

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = {_local(key): value for key, value in attributes.items()}
        if self._root is None:
            self._root, self.root_line = Element(_local(name), local), self.parser.CurrentLineNumber
        if self._builder is None and _local(name) in self.wanted:
            self._builder, self._line = TreeBuilder(), self.parser.CurrentLineNumber
        if self._builder is not None:
            self._builder.start(_local(name), local)
            self._depth += 1

    def end(self, name: str) -> None:
        if self._builder is None:
            return
        self._builder.end(_local(name))
        self._depth -= 1
        if not self._depth:
            assert self._root is not None
            self.found.append(Found(self._builder.close(), self._line, self._root))
            self._builder = None

    def text(self, data: str) -> None:
        if self._builder is not None:
            self._builder.data(data)

    def root(self) -> Element | None:
        """Return the root once it has begun."""
        return self._root

    def refuse_entity(self, name: str, *_: Any) -> None:
        raise DataError(
            f"{self.path}:{self.parser.CurrentLineNumber}: declares the entity '{name}'.\n"
            "  Entity declarations can blow up a reader; write the characters themselves."
        )


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def read_elements(path: Path, kind: str, roots: tuple[str, ...], *wanted: str) -> Iterator[Found]:
    """Yield every element of these names; memory holds one block of the file at a time.

    Args:
        kind: what the file is called in messages, such as `XLIFF 2`.
        roots: names that the root may have.
        wanted: names of the elements.

    Raises:
        DataError: not well-formed, of another root, or with entity declarations; names the line.
    """
    reader, checked = _Reader(path, frozenset(wanted)), False
    with open_bytes(path) as file:
        while True:
            block = file.read(1 << 16)
            try:
                reader.parser.Parse(block, not block)
            except expat.ExpatError as error:
                where = f"{path}:{error.lineno}:{error.offset}"
                raise DataError(
                    f"{where}: not well-formed {kind}: {expat.ErrorString(error.code)}.\n"
                    "  Copy the file again if it was cut off, or export it again."
                ) from error
            root = reader.root()
            if root is not None and not checked:
                checked = True
                if root.tag not in roots:
                    where = f"{path}:{reader.root_line}"
                    raise DataError(
                        f"{where}: root is <{root.tag}>, not <{roots[0]}>.\n  Export it as {kind}."
                    )
            yield from reader.found
            reader.found.clear()
            if not block:
                return
