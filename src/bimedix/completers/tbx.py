"""TBX in and out: the form in which termbases exchange their terms.

Read: TBX 3 (ISO 30042:2019, `conceptEntry`) and TBX 2 (2008, `martif`, `termEntry`). A concept gives every
pair of its terms in both languages; its subject field is the category. Terms marked as deprecated or
superseded are passed by: nothing may be translated into them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from bimedix.completers.tmx import Term, base_code, without_forbidden
from bimedix.completers.xmlfile import read_elements
from bimedix.files import written_whole

_ROOTS = ("tbx", "martif", "TBX")
_ENTRIES = ("conceptEntry", "termEntry")
_SECTIONS = ("langSec", "langSet")
_TERMS = ("termSec", "tig", "ntig")
_SHUNNED = ("deprecated", "superseded")


def read_tbx(path: Path, source_language: str, target_language: str) -> Iterator[Term]:
    """Yield the terms that a termbase has in both languages.

    Raises:
        DataError: not TBX, or not well-formed; names the line.
    """
    for found in read_elements(path, "TBX", _ROOTS, *_ENTRIES):
        terms = _by_language(found.element)
        category = _category(found.element)
        for source in terms.get(source_language, ()):
            for target in terms.get(target_language, ()):
                yield Term(source, target, category)


def _by_language(entry: Element) -> dict[str, list[str]]:
    terms: dict[str, list[str]] = {}
    for section in (part for name in _SECTIONS for part in entry.iter(name)):
        code = base_code(section.get("lang", ""))
        for part in (part for name in _TERMS for part in section.iter(name)):
            term = next(part.iter("term"), None)
            text = " ".join("".join(term.itertext()).split()) if term is not None else ""
            if code and text and not _is_shunned(part) and text not in terms.setdefault(code, []):
                terms[code].append(text)
    return terms


def _is_shunned(part: Element) -> bool:
    notes = (note.text or "" for note in part.iter("termNote") if note.get("type") == "administrativeStatus")
    return any(word in note for note in notes for word in _SHUNNED)


def _category(entry: Element) -> str:
    fields = (note.text or "" for note in entry.iter("descrip") if note.get("type") == "subjectField")
    return next((field.strip() for field in fields if field.strip()), "")


def write_tbx(path: Path, terms: Iterable[Term], source_language: str, target_language: str) -> int:
    """Write terms as TBX-Basic of ISO 30042:2019, one concept each; returns how many."""
    written = 0
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as out:
        out.write('<?xml version="1.0" encoding="UTF-8"?>\n<tbx style="dca" type="TBX-Basic" ')
        out.write(f'xml:lang="{source_language}" xmlns="urn:iso:std:iso:30042:ed-2">\n')
        out.write("<tbxHeader><fileDesc><sourceDesc><p>bimedix</p></sourceDesc></fileDesc></tbxHeader>\n")
        out.write("<text><body>\n")
        for written, term in enumerate(terms, start=1):
            field = f'<descrip type="subjectField">{_xml(term.category)}</descrip>' if term.category else ""
            out.write(f'<conceptEntry id="c{written}">{field}\n')
            for code, text in ((source_language, term.source), (target_language, term.target)):
                out.write(
                    f'<langSec xml:lang="{code}"><termSec><term>{_xml(text)}</term></termSec></langSec>\n'
                )
            out.write("</conceptEntry>\n")
        out.write("</body></text>\n</tbx>\n")
    return written


def _xml(text: str) -> str:
    return escape(without_forbidden(text))
