"""PDF books: routing per page, mending, places of pages, files that cannot be read, OCR by a program."""

import json
import os
import stat
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimedix.curate.pdf import (
    Page,
    UnreadablePdfError,
    drop_running_heads,
    join_pages,
    mend_hyphens,
    read_pdf,
    route_page,
)
from bimedix.curate.room import run
from bimedix.curate.settings import Documents, Settings
from bimedix.errors import MissingError
from bimedix.files import read_records
from bimedix.records import Dropped, Passage
from bimedix.stage import Context

LINES = [
    "Asthma is a chronic disease of the lungs and the airways.",
    "Its symptoms are cough, wheezing and fever at night.",
    "Physicians treat patients with steroids and vaccines.",
    "The diagnosis rests on medical history and therapy.",
]


def pdf(pages: list[list[str]], images: tuple[int, ...] = ()) -> bytes:
    """Return a PDF with one text line per string, and an inline image on the pages numbered in `images`."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for number, lines in enumerate(pages):
        text = "".join(
            f"BT /F1 11 Tf 60 {760 - 14 * row} Td ({line}) Tj ET\n" for row, line in enumerate(lines)
        )
        if number in images:
            text += "q 300 0 0 300 60 100 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x80 EI Q\n"
        stream = text.encode("latin-1")
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (len(objects))
        )
    listed = b" ".join(b"%d 0 R" % kid for kid in kids)
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), listed)
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    return out + head + table + tail


def curate(tmp_path: Path, **settings: object) -> tuple[list[Passage], list[Dropped], list[Page]]:
    """Run the room over the PDFs of the folder."""
    out = tmp_path / "out"
    made = Settings(documents=(Documents("*.pdf", "en", "books"),), filter="off", **settings)  # type: ignore[arg-type]
    run(made, {}, out, Context(tmp_path / "calls", base=tmp_path))
    return (
        list(read_records(out / "records.jsonl", Passage)),
        list(read_records(out / "dropped.jsonl", Dropped)),
        list(read_records(out / "pages.jsonl", Page)),
    )


# --- routing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "has_image", "route"),
    [
        ("a" * 200, False, "text"),
        ("a" * 199, True, "image"),
        ("a" * 199, False, "short"),
        ("a" * 300 + "." * 299, True, "text"),
        ("a" * 300 + "." * 300, True, "image"),
        ("a" * 300 + "." * 300, False, "image"),
        (" \n", False, "blank"),
        ("", True, "image"),
    ],
)
def test_a_page_is_routed_by_its_own_text_layer(text: str, has_image: bool, route: str) -> None:
    """200 letters and digits, a share of one half of characters + 1: both sides of each border."""
    assert route_page(text, has_image) == route


def test_each_page_goes_its_own_way(tmp_path: Path) -> None:
    """A scanned page in a book with text: the text stays, the page is listed as an image."""
    (tmp_path / "book.pdf").write_bytes(pdf([LINES * 2, ["Fig. 1"], LINES * 2, []], images=(1,)))
    (passage,), dropped, pages = curate(tmp_path)

    assert [page.route for page in pages] == ["text", "image", "text", "blank"]
    assert not dropped
    assert passage.id == "books:book.pdf" and "Fig. 1" not in passage.text
    whole = "\n".join(LINES * 2)
    assert [passage.text[page.start : page.end] for page in pages] == [whole, "", whole, ""]


def test_a_scanned_book_needs_ocr(tmp_path: Path) -> None:
    """No page has a text layer: the file is dropped and says what it needs."""
    (tmp_path / "scan.pdf").write_bytes(pdf([[], []], images=(0, 1)))
    kept, (lost,), pages = curate(tmp_path)

    assert not kept and len(pages) == 2
    assert (lost.reason, lost.place) == ("PDF has no text layer, needs OCR", "scan.pdf")


def test_a_damaged_file_is_dropped_and_the_others_go_on(tmp_path: Path) -> None:
    """With a reason that can be counted."""
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 nothing more")
    (tmp_path / "b.pdf").write_bytes(pdf([LINES * 2]))
    kept, (lost,), _ = curate(tmp_path)

    assert [passage.id for passage in kept] == ["books:b.pdf"]
    assert lost.reason == "PDF is damaged"


def test_ocr_without_the_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names the program and the way out."""
    (tmp_path / "scan.pdf").write_bytes(pdf([[]], images=(0,)))
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(MissingError, match="tesseract is not installed"):
        curate(tmp_path, ocr="tesseract")


def test_ocr_gets_the_drawn_page_and_the_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that answers with its arguments and the head of what it was given."""
    program = tmp_path / "bin" / "tesseract"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "read with $* : $(head -c 15 | tr "\\n" " ")"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "scan.pdf").write_bytes(pdf([[]], images=(0,)))
    (passage,), _, (page,) = curate(tmp_path, ocr="tesseract", ocr_dpi=100)

    assert passage.text == "read with - - -l eng --dpi 100 : P5 850 1100 255"
    assert (page.route, page.characters) == ("ocr", 0)


# --- mending --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ("hyper-\ntension", "hypertension"),
        ("adip\x02iscing", "adipiscing"),
        ("adip\x02\niscing", "adipiscing"),
        ("a follow-\nup and a follow-up", "a follow-up and a follow-up"),
        ("anti-\nTNF", "anti-TNF"),
        ("COVID-\n19 and B-12", "COVID-\n19 and B-12"),
        ("5 -\nfold - and", "5 -\nfold - and"),
        ("type 2-\nlike", "type 2-like"),
        ("арте\u2010\nрия", "артерия"),
    ],
)
def test_words_cut_at_a_line_end_are_joined(broken: str, mended: str) -> None:
    """Compounds known elsewhere in the text, names and numbers keep their hyphen."""
    assert mend_hyphens(broken) == mended


def test_running_heads_and_page_numbers_fall_out() -> None:
    """Lines at the same edge of most pages, numbers aside; the same words inside the text stay."""
    pages = [
        f"Chapter {n} Asthma\nfirst line {chr(97 + n)}\nbody of Chapter {n} Asthma\n"
        f"last but one {chr(107 + n)}\nvery last {chr(97 + n)}\n{n + 40}"
        for n in range(5)
    ]
    mended = drop_running_heads(pages)

    assert mended[2] == "first line c\nbody of Chapter 2 Asthma\nlast but one m\nvery last c"


def test_lines_on_few_pages_are_no_running_heads() -> None:
    """Two pages of the same form are too few to tell a head from text."""
    pages = ["Dose\na\nb\nc\nd\n1", "Dose\ne\nf\ng\nh\n2"]

    assert drop_running_heads(pages) == pages


@given(st.lists(st.text(alphabet="ab-\n ", max_size=12), max_size=5))
def test_places_of_pages_tile_the_text(texts: list[str]) -> None:
    """Whatever the pages hold, each place lies in the text and none overlaps the next."""
    page = Page("d", 1, "text", 0, 0, 0.0)
    whole, placed = join_pages([(page, text) for text in texts], mend=True)

    assert all(0 <= p.start <= p.end <= len(whole) for p in placed)
    assert all(a.end <= b.start for a, b in pairwise(placed))


def test_a_word_cut_by_a_page_end_is_joined() -> None:
    """`hyper-` at the foot of one page and `tension` at the head of the next."""
    page = Page("d", 1, "text", 0, 0, 0.0)
    whole, placed = join_pages([(page, "about hyper-"), (page, "tension\n")], mend=True)

    assert whole == "about hypertension"
    assert whole[placed[1].start : placed[1].end] == "tension"


# --- real files -----------------------------------------------------------------------------------------


def test_real_files_are_read_or_dropped_with_their_reason(real_data: Path, tmp_path: Path) -> None:
    """Nine published PDFs: one needs a password, one has an unmapped text layer; hyphens are mended."""
    out = tmp_path / "out"
    settings = Settings(documents=(Documents("pdf/**/*.pdf", "en"),), filter="off", least_script_share=0.0)
    summary = run(settings, {}, out, Context(tmp_path / "calls", base=real_data))
    kept = read_records(out / "records.jsonl", Passage)
    texts = {passage.id.rsplit("/", 1)[1]: passage.text for passage in kept}

    assert summary.dropped == {"PDF needs a password": 1}
    assert len(texts) == 8
    assert "adipiscing" in texts["multicolumn.pdf"] and "\x02" not in "".join(texts.values())
    numbers = [json.loads(line)["number"] for line in (out / "pages.jsonl").open() if "N18-3011" in line]
    assert numbers == list(range(1, 9))


def test_a_password_is_told_apart_from_damage(real_data: Path) -> None:
    """The reader has a remedy for one and not for the other."""
    with pytest.raises(UnreadablePdfError) as raised:
        read_pdf(real_data / "pdf" / "sample-files" / "libreoffice-writer-password.pdf", "d")

    assert raised.value.reason == "PDF needs a password"


def test_textbook_chapters_pass_the_filter(real_data: Path, tmp_path: Path) -> None:
    """Anatomy chapters and drug monographs are medical; papers on software and lorem ipsum are not."""
    patterns = ("openstax-anatomy-1e/contents/*.md", "wikidoc-dailymed/*/*.md", "pdf/sample-files/*.pdf")
    documents = tuple(Documents(pattern, "en", pattern[:3]) for pattern in patterns)
    out = tmp_path / "out"
    run(Settings(documents=documents), {}, out, Context(tmp_path / "calls", base=real_data))
    kept = [passage.origin.dataset for passage in read_records(out / "records.jsonl", Passage)]

    assert kept.count("ope") >= 12 and kept.count("wik") == 5 and kept.count("pdf") == 0
