"""HTML of records: nothing of a record is obeyed, nothing of it is lost, marks stand where they belong."""

import html
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from bimedix.pages import Mark, block, inline, page

TEXTS = st.text(st.sampled_from("ab 5mgدواء<>&\"'\u202e\u200f،.10%\n"), max_size=60)
VOID = {"meta"}


class Reader(HTMLParser):
    """Collects text and checks that tags nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.marked: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "span" not in self.open:
            self.text.append(data)
        if "mark" in self.open and "span" not in self.open:
            self.marked.append(data)


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    assert not reader.open
    return reader


@given(
    text=TEXTS, start=st.integers(0, 60), length=st.integers(0, 30), direction=st.sampled_from(["ltr", "rtl"])
)
def test_text_and_marks_survive_whatever_the_record_holds(
    text: str, start: int, length: int, direction: str
) -> None:
    """Tags nest, all letters are there in order, and the marked ones are those of the span."""
    mark = Mark(start, start + length, "error", 'a "why" <b>')
    reader = read(inline(text, [mark], direction="rtl" if direction == "rtl" else "ltr"))

    def plain(part: str) -> str:
        return re.sub("[\u202e\u200f]", "", part)

    assert "".join(reader.text) == plain(text)
    assert "".join(reader.marked) == plain(text[start : start + length])


def test_controls_are_shown_and_not_obeyed() -> None:
    shown = inline("5 \u202emg 01\u202c", direction="ltr")

    assert "\u202e" not in shown
    assert "RLO" in shown
    assert '<span class="control">U+0000</span>' in inline("a\x00b\ud800", direction="ltr")
    assert inline("a\x00b\ud800", direction="ltr").isascii()


def test_an_arabic_block_that_opens_with_a_drug_name_stays_right_to_left() -> None:
    """`dir=auto` would turn it round."""
    shown = block("Ibuprofen يخفف الألم بجرعة 400 mg كل 6 ساعات", "ar")

    assert shown.startswith('<p dir="rtl" lang="ar"><bdi dir="ltr">Ibuprofen</bdi>')
    assert '<bdi dir="ltr">400 mg</bdi>' in shown


def test_marks_reach_over_lines() -> None:
    shown = block("first line\nsecond line", "en", [Mark(6, 17, "warning", "both")])

    assert read(shown).marked == ["line", "second"]


def test_a_page_runs_nothing_and_loads_nothing() -> None:
    shown = page("<script>alert(1)</script>", block("<img src=x onerror=alert(1)>", "en"))

    assert "<script" not in shown
    assert "<img" not in shown
    assert "default-src 'none'" in html.unescape(shown)
