"""Files that become passages: PDF, Markdown, plain text."""

import re
from collections.abc import Iterator
from pathlib import Path

from bimedix.curate.pdf import (
    Page,
    UnreadablePdfError,
    drop_running_heads,
    join_pages,
    read_pdf,
    tesseract_reader,
)
from bimedix.curate.settings import Documents, Settings
from bimedix.errors import DataError, MissingError
from bimedix.files import RecordWriter, hash_file, read_text
from bimedix.languages import language
from bimedix.records import Dropped, Origin, Passage
from bimedix.stage import Context

PAGES = "pages.jsonl"
"""One row per PDF page: route, figures of its text layer, place of its text in the passage."""
_KINDS = {".pdf", ".md", ".markdown", ".txt"}


def read_documents(settings: Settings, out: Path, context: Context) -> Iterator[Passage | Dropped]:
    """Yield a passage per file, or why there is none; writes `pages.jsonl` when there are PDFs.

    Raises:
        MissingError: a pattern finds nothing, or OCR is asked for and not installed.
    """
    if not settings.documents:
        return
    with RecordWriter(out / PAGES) as pages:
        for entry in settings.documents:
            for path in _found(entry, context.base):
                yield from _read(path, entry, settings, context.base, pages)


def _found(entry: Documents, base: Path) -> list[Path]:
    language(entry.language)
    found = sorted(path for path in base.glob(entry.files) if path.is_file())
    if not found:
        raise MissingError(
            f"curate: no file matches '{entry.files}' below {base}.\n"
            "  Patterns start from the recipe's data folder; `**` goes through folders."
        )
    return found


def _read(
    path: Path, entry: Documents, settings: Settings, base: Path, pages: RecordWriter
) -> Iterator[Passage | Dropped]:
    key = path.relative_to(base).as_posix()
    name = f"{entry.name}:{key}".replace("%", "%25").replace("@", "%40").replace("#", "%23")
    origin = Origin(entry.name, key, hash_file(path), entry.licence)

    def dropped(reason: str, detail: str = "") -> Dropped:
        return Dropped(name, "curate", reason, key, detail)

    if path.suffix.lower() not in _KINDS:
        yield dropped("file is neither PDF, Markdown nor text", path.suffix)
        return
    try:
        if path.suffix.lower() == ".pdf":
            text, title = _pdf_text(path, name, entry, settings, pages), None
        else:
            title, text = _plain(read_text(path), markdown=path.suffix.lower() != ".txt")
    except UnreadablePdfError as error:
        yield dropped(error.reason, error.detail)
    except DataError as error:
        yield dropped("file is not UTF-8 text", str(error).splitlines()[0])
    else:
        empty = "PDF has no text layer, needs OCR" if path.suffix.lower() == ".pdf" else "file is empty"
        yield Passage(name, entry.language, origin, text, title) if text.strip() else dropped(empty)


def _pdf_text(path: Path, id: str, entry: Documents, settings: Settings, pages: RecordWriter) -> str:
    ocr = tesseract_reader(entry.language, settings.ocr_dpi) if settings.ocr == "tesseract" else None
    found = read_pdf(path, id, ocr)
    texts = [text for _, text in found]
    if settings.drop_running_heads:
        texts = drop_running_heads(texts)
    pairs: list[tuple[Page, str]] = [(page, text) for (page, _), text in zip(found, texts, strict=True)]
    whole, placed = join_pages(pairs, mend=settings.mend_hyphens)
    for page in placed:
        pages.write(page)
    return whole


_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_TITLE = re.compile(r"^title:\s*[\"']?(.*?)[\"']?\s*$", re.MULTILINE)
_HEADING = re.compile(r"^# +(.+?)\s*#*$", re.MULTILINE)


def _plain(text: str, *, markdown: bool) -> tuple[str | None, str]:
    """Return title and text; of Markdown the front matter, comments, images and tags are left out."""
    text = text.replace("\r\n", "\n")
    if not markdown:
        return None, text.strip()
    front = _FRONT_MATTER.match(text)
    body = text[front.end() :] if front else text
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", body)
    body = re.sub(r"\{:[^}\n]*\}", "", body)
    body = re.sub(r"</?[a-zA-Z][^<>\n]*>", "", body)
    body = re.sub(r"\(\[\\\[link\\\]\]\([^)]*\)\)", "", body)
    found = _TITLE.search(front.group(1)) if front else _HEADING.search(body)
    return (found.group(1) if found else None), re.sub(r"\n{3,}", "\n\n", body).strip()
