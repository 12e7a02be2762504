"""Settings of the room `curate`: the recipe's table `[curate]`."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bimedix.errors import MissingError, UsageError
from bimedix.files import require_file
from bimedix.languages import language


@dataclass(frozen=True)
class Documents:
    """Files of running text that become passages: PDF, Markdown, plain text."""

    files: str
    """Pattern below the recipe's data folder, as in `books/**/*.pdf`."""
    language: str
    """ISO 639-1; one per entry, because the filter, hyphenation and OCR depend on it."""
    name: str = "documents"
    """Name of the collection; becomes `origin.dataset`."""
    licence: str = ""
    """SPDX identifier, or the publisher's words."""

    def __post_init__(self) -> None:
        language(self.language)
        if Path(self.files).is_absolute() or ".." in Path(self.files).parts or not self.files:
            raise UsageError(
                f"files = '{self.files}'; a pattern below the recipe's data folder is needed.\n"
                "  Point `data` at the folder that holds the documents."
            )


@dataclass(frozen=True)
class Settings:
    """What the room keeps, and how it tells."""

    documents: tuple[Documents, ...] = ()
    """Files to read besides the records of `sources`."""
    filter: Literal["corrected", "as_released", "as_released_cjk", "off"] = "corrected"
    """Keyword rule for passages; `as_released` repeats MMedC's code, defects included."""
    filter_languages: tuple[str, ...] = ("ar", "en", "es", "fr", "ja", "ru", "zh")
    """ISO 639-1; passages in other languages pass unfiltered and are counted."""
    keywords: Mapping[str, Path] = field(default_factory=dict)
    """Lists of one's own by language, from the data folder; the shipped ones where nothing is given."""
    least_specific_keywords: int = 2
    """Distinct keywords that are not generic which a passage needs; corrected rule only. Ours."""
    least_script_share: float = 0.2
    """Share of letters in the script of the record's language, 0 to 1; 0 turns the check off. Ours: short
    questions on genes and drugs are half Latin letters in any language."""
    untouched: tuple[str, ...] = ("test", "validation")
    """Splits that pass whole, so that sets that are measured on keep their published size. A training
    record that repeats a test item is found by the mix, not here."""
    repeats: Literal["drop", "keep"] = "drop"
    """Exact repeats of an earlier text, over all kinds: the first one stays."""
    mend_hyphens: bool = True
    """PDF: join words that were hyphenated at a line end."""
    drop_running_heads: bool = True
    """PDF: take out lines that stand at the same edge of most pages, and page numbers."""
    ocr: Literal["off", "tesseract"] = "off"
    """PDF pages without a text layer: list them as dropped, or read them with the program Tesseract."""
    ocr_dpi: int = 300
    """Dots per inch at which pages are drawn for OCR; Tesseract's manual advises at least 300."""

    def __post_init__(self) -> None:
        if not 0 <= self.least_script_share <= 1:
            raise UsageError(f"least_script_share = {self.least_script_share:g}; a share is 0 to 1.")
        if self.least_specific_keywords < 0 or self.ocr_dpi < 72:
            raise UsageError(
                f"least_specific_keywords = {self.least_specific_keywords}, ocr_dpi = {self.ocr_dpi}; "
                "0 or more, and 72 or more."
            )


def check(settings: Settings, base: Path) -> Iterator[tuple[str, str]]:
    """Tell which documents, keyword lists and programs are there."""
    for entry in settings.documents:
        found = sum(path.is_file() for path in base.glob(entry.files))
        if found:
            yield "ok", f"documents: {found:,} files match {entry.files}"
        else:
            yield "missing", f"{base / entry.files}: no file matches; `**` goes through folders"
    for code, path in settings.keywords.items():
        try:
            require_file(base / path)
        except MissingError as error:
            yield "missing", f"keywords.{code}: {error}"
    if settings.ocr == "tesseract" and not shutil.which("tesseract"):
        yield "missing", 'the program tesseract is not installed; install it, or set ocr = "off"'


def input_files(settings: Settings, base: Path) -> list[Path]:
    """Return the files that the settings name: keyword lists and documents."""
    documents = [path for entry in settings.documents for path in sorted(base.glob(entry.files))]
    return [*(base / path for path in settings.keywords.values()), *documents]
