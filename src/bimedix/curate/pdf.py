"""PDF books: the text layer page by page, each page routed by itself, and mended in named steps.

MMedLM routes a whole book (to OCR when alphanumeric characters are under half of all, or under 200 a
page), so one scanned appendix decides for 400 pages; here the same two figures are taken per page and
kept. A short page is an image only when there is an image on it.
"""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, structs

from bimedix.errors import MissingError

LEAST_ALPHANUMERIC_SHARE = 0.5
"""Below this share of letters and digits, a text layer is noise or absent (MMedLM, `pdf_ocr`)."""
LEAST_ALPHANUMERIC = 200
"""Letters and digits that a page of a book has, at least (MMedLM, `pdf_ocr`)."""
TESSERACT_LANGUAGES = {
    "ar": "ara", "en": "eng", "es": "spa", "fr": "fra", "ja": "jpn", "ru": "rus", "zh": "chi_sim",
}  # fmt: skip
_HYPHEN = "\x02"
"""What PDFium gives for a hyphen at a line end."""

Route = Literal["text", "short", "blank", "image", "ocr"]


class UnreadablePdfError(Exception):
    """The file gives no pages; `reason` is short and countable."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Page(Struct, frozen=True):
    """One page: what its text layer is like, and where its text went."""

    document: str
    """Id of the passage."""
    number: int
    """As counted in the file, from 1."""
    route: Route
    """text; short (little text, no image); blank; image (needs OCR); ocr (was read by OCR)."""
    characters: int
    """Of the text layer."""
    alphanumeric: int
    """Letters and digits among them."""
    alphanumeric_share: float
    """alphanumeric / (characters + 1), as MMedLM counts."""
    start: int = 0
    """First code point of the page in the passage's text."""
    end: int = 0
    """First code point after it; equal to `start` when nothing of the page was kept."""


def route_page(text: str, has_image: bool) -> Route:
    """Tell how a page has to be read.

    Source of the two thresholds: MMedLM's `pdf_ocr`, there for a whole book.
    """
    alphanumeric = sum(map(str.isalnum, text))
    if not text.strip():
        return "image" if has_image else "blank"
    if alphanumeric / (len(text) + 1) < LEAST_ALPHANUMERIC_SHARE:
        return "image"
    if alphanumeric < LEAST_ALPHANUMERIC:
        return "image" if has_image else "short"
    return "text"


def read_pdf(path: Path, document: str, ocr: Callable[[Any], str] | None = None) -> list[tuple[Page, str]]:
    """Return every page and its text as it stands in the text layer, or as `ocr` reads it.

    Args:
        path: the PDF.
        document: id of the passage that it becomes.
        ocr: reads a page that needs it; None leaves such pages empty, with route `image`.

    Raises:
        UnreadablePdfError: it needs a password, or is damaged.
    """
    with _opened(path) as pdf:
        return [_read_page(pdf[index], index + 1, document, ocr) for index in range(len(pdf))]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pypdfium2
    import pypdfium2.raw as pdfium

    try:
        pdf = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        code = getattr(error, "err_code", None)
        locked = code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
        raise UnreadablePdfError("PDF needs a password" if locked else "PDF is damaged", str(error)) from None
    try:
        yield pdf
    finally:
        pdf.close()


def _read_page(page: Any, number: int, document: str, ocr: Callable[[Any], str] | None) -> tuple[Page, str]:
    import pypdfium2.raw as pdfium

    layer = page.get_textpage()
    text = str(layer.get_text_bounded()).replace("\r\n", "\n").replace("\r", "\n")
    layer.close()
    has_image = next(iter(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE])), None) is not None
    found = describe_page(document, number, text, has_image)
    if found.route == "image":
        text = ocr(page) if ocr else ""
        found = structs.replace(found, route="ocr" if text.strip() else "image")
    page.close()
    return found, "" if found.route == "blank" else text


def describe_page(document: str, number: int, text: str, has_image: bool) -> Page:
    """Return the figures of a page's text layer, and its route."""
    alphanumeric = sum(map(str.isalnum, text))
    share = round(alphanumeric / (len(text) + 1), 4)
    return Page(document, number, route_page(text, has_image), len(text), alphanumeric, share)


# --- mending --------------------------------------------------------------------------------------------


def drop_running_heads(pages: Sequence[str], *, edge_lines: int = 2, least_share: float = 0.5) -> list[str]:
    """Take out lines that stand at the top or bottom of most pages, numbers aside, and lone page numbers.

    Args:
        pages: text per page.
        edge_lines: how many lines from each edge are looked at.
        least_share: share of pages (and at least 3) that a line has to stand on.
    """
    shapes = [_edge_shapes(page, edge_lines) for page in pages]
    seen = Counter(shape for page in shapes for shape in set(page.values()))
    least = max(3.0, least_share * len(pages))
    return [
        "\n".join(
            line
            for index, line in enumerate(page.split("\n"))
            if not (index in edges and edges[index] and seen[edges[index]] >= least)
        )
        for page, edges in zip(pages, shapes, strict=True)
    ]


def _edge_shapes(page: str, edge_lines: int) -> dict[int, str]:
    """Return line index → line with numbers as `#`, for the lines at both edges that are not blank."""
    lines = page.split("\n")
    filled = [index for index, line in enumerate(lines) if line.strip()]
    edges = {*filled[:edge_lines], *filled[-edge_lines:]} if len(filled) > 2 * edge_lines else set()
    return {index: " ".join(re.sub(r"\d+", "#", lines[index]).split()) for index in edges}


_BROKEN = re.compile(rf"(\w+)(?:{_HYPHEN}\n?|[-\u00ad\u2010]\n)(?=([^\W\d_]+))")


def mend_hyphens(text: str) -> str:
    """Join words that were cut at a line end.

    The hyphen stays where the same compound stands unbroken elsewhere in the text (`follow-up`), or where
    what follows starts with a capital letter.
    """

    def mended(found: re.Match[str]) -> str:
        before, after = found.groups()
        compound = f"{before}-{after}"
        keep = after[0].isupper() or before[-1].isdigit() or compound in text
        return f"{before}-" if keep else before

    return _BROKEN.sub(mended, text).replace(_HYPHEN, "-")


def join_pages(pages: Sequence[tuple[Page, str]], *, mend: bool) -> tuple[str, list[Page]]:
    """Return the whole text and the pages with their places in it; a word cut by a page end is joined."""
    whole = ""
    placed: list[Page] = []
    for page, text in pages:
        text = mend_hyphens(text.strip()) if mend else text.strip()
        if whole and text:
            cut = mend and re.search(r"\w[-\u2010]$", whole) and text[0].islower()
            whole = whole[:-1] if cut else whole + "\n"
            placed = [_within(earlier, len(whole)) for earlier in placed] if cut else placed
        start = len(whole)
        whole += text
        placed.append(structs.replace(page, start=start, end=len(whole)))
    return whole, placed


def _within(page: Page, length: int) -> Page:
    return structs.replace(page, start=min(page.start, length), end=min(page.end, length))


# --- OCR ------------------------------------------------------------------------------------------------


def tesseract_reader(language: str, dpi: int) -> Callable[[Any], str]:
    """Return a function that draws a page and has the program Tesseract read it.

    Raises:
        MissingError: the program is not installed, or the language has no model name here.
    """
    program = shutil.which("tesseract")
    if program is None:
        raise MissingError(
            'curate: `ocr = "tesseract"`, and the program tesseract is not installed.\n'
            '  Install it (Debian: `apt install tesseract-ocr`), or set `ocr = "off"`.'
        )
    if language not in TESSERACT_LANGUAGES:
        raise MissingError(f"curate: no Tesseract model is known for language '{language}'.")
    command = [program, "-", "-", "-l", TESSERACT_LANGUAGES[language], "--dpi", str(dpi)]

    def read(page: Any) -> str:
        done = subprocess.run(command, input=_drawn(page, dpi), capture_output=True, check=False)
        if done.returncode:
            words = done.stderr.decode("utf-8", "replace").strip()
            raise MissingError(f"tesseract ended with {done.returncode}: {words[:300]}")
        return done.stdout.decode("utf-8", "replace").replace("\f", "")

    return read


def _drawn(page: Any, dpi: int) -> bytes:
    """Return the page as a grey PGM image."""
    bitmap = page.render(scale=dpi / 72, grayscale=True)
    rows = bytes(bitmap.buffer)
    width, height, stride = bitmap.width, bitmap.height, bitmap.stride
    pixels = b"".join(rows[y * stride : y * stride + width] for y in range(height))
    return b"P5 %d %d 255\n" % (width, height) + pixels
