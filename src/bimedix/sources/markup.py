"""XML read safely and in a stream: no document type that declares entities, nothing fetched from outside."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from bimedix.errors import DataError
from bimedix.files import open_bytes
from bimedix.sources.rows import clean

CHUNK_BYTES = 1 << 16


class _Collector:
    """Builds the subtrees of some tags while the rest of the file passes by."""

    def __init__(self, path: Path, root: str, tags: tuple[str, ...]) -> None:
        self.path, self.root, self.tags = path, root, tags
        self.found: list[tuple[int, Element]] = []
        self.root_attributes: dict[str, str] = {}
        self._builder: TreeBuilder | None = None
        self._depth = 0
        self._line = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data
        self.parser.EntityDeclHandler = self._entity
        self.parser.SkippedEntityHandler = self._skipped

    def error(self, message: str, line: int = 0) -> DataError:
        return DataError(f"{self.path}:{line or self.parser.CurrentLineNumber}: {message}")

    def feed(self, chunk: bytes, last: bool) -> list[tuple[int, Element]]:
        try:
            self.parser.Parse(chunk, last)
        except expat.ExpatError as error:
            raise self.error(
                f"not well-formed XML: {error}.\n  Copy the file again if it was cut off, or mend this line.",
                error.lineno,
            ) from error
        found, self.found = self.found, []
        return found

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and tag != self.root:
            raise self.error(
                f"the root element is <{tag}>; <{self.root}> is needed.\n"
                "  Name the source that this file is of; `bimedix ls sources` lists them."
            )
        self._depth += 1
        if self._builder is None and tag in self.tags:
            self._builder, self._line, self._outside = (
                TreeBuilder(), self.parser.CurrentLineNumber, self._depth - 1
            )  # fmt: skip
        if self._builder is not None:
            self._builder.start(tag, attributes)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._builder is None:
            return
        element = self._builder.end(tag)
        if self._depth == self._outside:
            self.found.append((self._line, element))
            self._builder = None

    def _data(self, text: str) -> None:
        if self._builder is not None:
            self._builder.data(text)

    def _entity(self, name: str, *_: object) -> None:
        raise self.error(
            f"declares the entity '{name}'.\n"
            "  Entities can name other files and grow without end, so such files are not read.\n"
            "  Remove the declaration, and write the text in its place."
        )

    def _skipped(self, name: str, *_: object) -> None:
        raise self.error(f"the entity '&{name};' is declared nowhere in this file; write the character.")


def elements(path: Path, root: str, tags: str | tuple[str, ...]) -> Iterator[tuple[int, Element]]:
    """Yield (line, element) for every element named of a file whose root is `root`; memory holds one.

    Raises:
        DataError: not well-formed, another root, or a declared entity; names file:line.
    """
    collector = _Collector(path, root, (tags,) if isinstance(tags, str) else tags)
    with open_bytes(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield from collector.feed(chunk, False)
    yield from collector.feed(b"", True)


def text_of(element: Element | None) -> str:
    """Return the whole text of an element and its children, tidied; empty for None."""
    return tidy("".join(element.itertext())) if element is not None else ""


def tidy(text: str) -> str:
    """Return a cleaned text without the indentation of its file: single spaces, no runs of blank lines."""
    lines = [" ".join(line.split()) for line in clean(text).split("\n")]
    kept = [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]
    return "\n".join(kept).strip()
