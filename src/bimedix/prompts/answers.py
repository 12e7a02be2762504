"""Reading an answer out of a reply: whole tokens only, and nothing at all rather than a guess.

Order (evaluate-serve.md, section 6): what was asked for or said outright, then a letter that stands
alone, then the text of one option. Where one step finds several different answers, the reply counts as
unread. Both sides are compared in the form of `bimedix.text.normalise`, line by line.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from bimedix.prompts.packs import Pack, pack
from bimedix.records import MultipleChoice
from bimedix.text import normalise

Chosen = frozenset[int]

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_SIGNS = str.maketrans({"’": "'", "`": "", "*": "", "“": '"', "”": '"', "、": ",", "。": "."})
_BINOMIAL = re.compile(r"(?<!\w)([A-Ha-h](?=\. [a-zà-ÿа-яё])|د(?=\. \w))")
_MARK = "\ue000"
"""Put after a letter that may begin `E. coli`, or be short for "doctor": it needs its own option text."""
_LOOK_ALIKES = str.maketrans("авсен", "abceh")
_OPEN, _CLOSE = r"[\s(\[{<\"'«“「『【]*", r"[\s)\]}>\"'»”」』】]*"
_GAP = re.compile(r"[\s.):\]}\-–—,>»」』】\"'(\[«“]*")
_BOXED = re.compile(r"\\boxed\s*\{(?:\\text\s*\{)?([^{}]*)\}+")
_ALWAYS = ("boxed", "answer", "final answer")
"""Statements that models make in any language."""


def _fold(text: str) -> str:
    text = _BOXED.sub(r" boxed: \1 ", text.translate(_FULL_WIDTH)).translate(_SIGNS)
    return normalise(_BINOMIAL.sub(rf"\1{_MARK}", text))


def _any(entries: Iterable[str]) -> str:
    """Return a pattern for any of the entries, longest first; it matches nothing when there are none."""
    folded = sorted({_fold(entry) for entry in entries}, key=lambda entry: (-len(entry), entry))
    return "(?:" + "|".join(map(re.escape, folded)) + ")" if folded else r"(?!)"


@dataclass(frozen=True)
class _Grammar:
    """What an answer looks like in one language with one set of labels."""

    labels: dict[str, int]
    digits: dict[str, int]
    careful: frozenset[str]
    """Tokens that are also words of the language, or digits: they count only before a sign or the end."""
    token: re.Pattern[str]
    joined: re.Pattern[str]
    """A token right after a joining word, which Arabic writes without a space."""
    paired: re.Pattern[str]
    """What follows a careful token that is the first of two labels."""
    lead: re.Pattern[str]
    noun: re.Pattern[str]
    right: re.Pattern[str]
    wrong: re.Pattern[str]
    separator: re.Pattern[str]


@lru_cache(maxsize=256)
def _grammar(code: str, labels: tuple[str, ...]) -> _Grammar:
    words = pack(code)
    known = _label_table(labels, words)
    spaced = words.language.spaced
    edge = r"(?<![^\W\d_])[وف]?" if words.language.script == "ARABIC" else r"(?<![^\W\d_])" if spaced else ""
    leads = _any((*words.lists["leads"], *_ALWAYS))
    links, nouns = _any((*words.lists["links"], "is")), _any(words.lists["nouns"])
    gap = r"[\s:=\-–—>\"'»]*"
    tokens = sorted((*known, *map(str, range(1, len(labels) + 1))), key=len, reverse=True)
    token = rf"({'|'.join(map(re.escape, tokens))}){_MARK}?(?![a-z0-9а-яё\u0621-\u064a']|-\w)"
    also = _any(words.lists["and"]) + (r"\s+" if words.language.script in ("LATIN", "CYRILLIC") else r"\s*")
    return _Grammar(
        labels=known,
        digits={str(index + 1): index for index in range(len(labels))},
        careful=frozenset(map(_fold, words.lists["one_letter_words"])),
        token=re.compile(rf"(?<![a-z0-9а-яё\u0621-\u064a']){token}"),
        joined=re.compile(token),
        paired=re.compile(rf"(?:\s*,\s*{token})*\s*{also}{token}(?=\s*(?:$|[^\w\s]))"),
        lead=re.compile(rf"{edge}{leads}({gap}(?:{links}{gap})?)(?:{nouns}{gap})?"),
        noun=re.compile(rf"(?:{nouns}{gap})+"),
        right=re.compile(rf"{_CLOSE}{_any(words.lists['right'])}(?!\w)" if spaced
                         else rf"{_CLOSE}{_any(words.lists['right'])}"),
        wrong=re.compile(rf"{_CLOSE}(?:{links}\s*)?{_any(words.lists['wrong'])}"),
        separator=re.compile(rf"\s*(?:\.?\s*[,;/+&]\s*(?:{also})?|{also}|\s)"),
    )  # fmt: skip


def _label_table(labels: tuple[str, ...], words: Pack) -> dict[str, int]:
    """Return every spelling of a label: as shown, the Latin letter, the letter's name, Cyrillic look-alikes.

    With Cyrillic labels on show, Cyrillic letters stand for themselves: В is then the third option.
    """
    table = {_fold(label): index for index, label in enumerate(labels)}
    cyrillic = any("\u0400" <= char <= "\u04ff" for label in table for char in label)
    latin = [chr(ord("a") + index) for index in range(len(labels))]
    if not cyrillic:
        table = {letter: index for index, letter in enumerate(latin)} | table
        look_alikes = {char: char.translate(_LOOK_ALIKES) for char in "авсен"}
        table |= {c: table[as_latin] for c, as_latin in look_alikes.items() if as_latin in table}
    names = [name for line in words.lists["letter_names"] for name in line.split()]
    return table | {_fold(name): index for index, name in enumerate(names[: len(labels)])}


@dataclass(frozen=True)
class _Reader:
    """Reads one item's answers; `texts` are the folded option texts."""

    grammar: _Grammar
    texts: tuple[str, ...]
    words: dict[str, int]
    """Spellings of yes, no and maybe by option; empty for other items."""

    @property
    def digits_are_labels(self) -> bool:
        return not any(re.fullmatch(r"[\d\s.,%/-]+", text) for text in self.texts)

    def text_at(self, line: str, at: int, only: int | None = None) -> tuple[int, int] | None:
        """Return (option, end) of the longest option text that stands at a position."""
        found = [
            (at + len(text), index)
            for index, text in enumerate(self.texts)
            if only in (None, index) and text and line.startswith(text, at) and _ends(line, at + len(text))
        ]
        return (max(found)[1], max(found)[0]) if found else None

    def labels_at(self, line: str, at: int, *, digits: bool) -> tuple[Chosen, int, bool] | None:
        """Return (options, end, whether option texts stood beside them) of the labels at a position."""
        chosen: set[int] = set()
        end, with_text = at, False
        while True:
            step = self._label_at(line, at, digits=digits, joined=bool(chosen))
            if step is None:
                break
            index, end, texts = step
            chosen.add(index)
            with_text |= texts
            joint = self.grammar.separator.match(line, end)
            if joint is None:
                break
            at = joint.end()
        return (frozenset(chosen), end, with_text) if chosen else None

    def _label_at(self, line: str, at: int, *, digits: bool, joined: bool) -> tuple[int, int, bool] | None:
        opened = re.compile(_OPEN).match(line, at)
        start = opened.end() if opened else at
        token = (self.grammar.joined if joined else self.grammar.token).match(line, start)
        if token is None:
            return None
        name = token[1]
        index = self.grammar.labels.get(name)
        if index is None:
            if not (digits and self.digits_are_labels):
                return None
            index = self.grammar.digits[name]
        own = self._own_text(line, token.end(), index)
        if own is not None:
            return index, own, True
        if _MARK in token[0] or (self._is_careful(name) and not self._set_off(line, token.end())):
            return None
        closed = re.compile(r"[)\]}>\"'»”」』】]*").match(line, token.end())
        return index, closed.end() if closed else token.end(), False

    def _own_text(self, line: str, at: int, index: int) -> int | None:
        """Return where the option's own text ends, when it follows after nothing but signs."""
        gap = _GAP.match(line, at)
        for start in range(at, (gap.end() if gap else at) + 1):
            if found := self.text_at(line, start, only=index):
                return found[1]
        return None

    def _is_careful(self, name: str) -> bool:
        return name in self.grammar.careful or name.isdigit()

    def _set_off(self, line: str, at: int) -> bool:
        return _before_sign(line, at) or self.grammar.paired.match(line, at) is not None


def _ends(line: str, at: int) -> bool:
    """Tell whether a text that ends here ends a token (characters of zh and ja are tokens themselves)."""
    if at >= len(line) or not line[at].isalnum():
        return True
    return not (_alphabetic(line[at]) and _alphabetic(line[at - 1]))


def _starts(line: str, at: int) -> bool:
    return at == 0 or not line[at - 1].isalnum() or not (_alphabetic(line[at]) and _alphabetic(line[at - 1]))


def _alphabetic(char: str) -> bool:
    """Tell letters and digits of alphabets from those of Chinese and Japanese, which need no spaces."""
    return char.isalnum() and not "\u3040" <= char <= "\u9fff"


def _before_sign(line: str, at: int) -> bool:
    """Tell whether a token is followed by the end or by a sign, and not by a further word or a decimal."""
    return bool(re.compile(r"\s*$|\s*[)\]}>\"'»”」』】;:!?]|\s*[.,](?!\d)").match(line, at))


def _glued(text: str, reader: _Reader) -> Chosen:
    """Return the options of letters written together in ascending order, such as `ACD`."""
    token = re.fullmatch(r"[A-H]{2,8}", text.strip(" .()[]*"))
    if not token or normalise(token[0]) in reader.texts or list(token[0]) != sorted(set(token[0])):
        return frozenset()
    indexes = [reader.grammar.labels.get(char.lower()) for char in token[0]]
    return frozenset(i for i in indexes if i is not None) if None not in indexes else frozenset()


def yes_no_maybe_indexes(item: MultipleChoice) -> dict[str, int] | None:
    """Return the option index of every spelling of yes, no and maybe; None when the options are others."""
    spellings = pack(item.language).spellings
    found: dict[int, int] = {}
    for index, option in enumerate(item.options):
        plain = normalise(option)
        group = next((g for g, words in enumerate(spellings) if plain in words), None)
        if group is None or group in found:
            return None
        found[group] = index
    return {word: index for group, index in found.items() for word in spellings[group]}


def read_answer(
    text: str, item: MultipleChoice, *, labels: tuple[str, ...] | None = None
) -> tuple[int, ...] | None:
    """Return the indexes of the options that a reply names, ascending; None when it names none or several.

    Args:
        text: the reply, as generated.
        item: the question it answers.
        labels: the labels the prompt showed, where they are not the language's own letters.

    Several right options are read as a set: "A, C", "أ و ج" or "OPTION A,C IS CORRECT".
    """
    row = pack(item.language).language
    shown = labels or row.option_letters[: len(item.options)]
    folded = tuple(_fold(option).rstrip(". ") for option in item.options)
    apart = len(set(folded)) == len(folded)
    texts = folded if apart else ("",) * len(folded)
    reader = _Reader(_grammar(row.code, shown), texts, yes_no_maybe_indexes(item) or {})
    text = re.sub(r"</?(?!answer)\w+>", "\n", text.translate(_FULL_WIDTH))
    pairs = [(line.strip(), folded_line) for line in text.splitlines() if (folded_line := _fold(line))]
    raw, lines = [line for line, _ in pairs], [line for _, line in pairs]
    named = (
        _option_named(lines, reader)
        if apart
        else _option_named([*map(_plain, raw)], replace(reader, texts=tuple(map(_plain, item.options))))
    )
    for step in (_said(raw, lines, reader), _standing_alone(lines, reader), named):
        answers = set(step)
        if answers:
            return tuple(sorted(answers.pop())) if len(answers) == 1 else None
    return None


def _plain(text: str) -> str:
    """Fold case and spaces only: for items of which two options fall together in the normal form."""
    return " ".join(text.casefold().split())


def _said(raw: list[str], lines: list[str], reader: _Reader) -> Iterator[Chosen]:
    """Yield the answers in the requested format, and those said outright."""
    whole = " ".join(lines)
    if len(lines) == 1:
        yield from _whole(raw[0], whole, reader)
    yield from _opening_block(lines, reader)
    for index, line in enumerate(lines):
        yield from _after_leads(line, raw[index], reader)
        yield from _called_right(line, reader)
        yield from _noun_line(line, reader)
    yield from _yes_or_no(lines, reader)


def _whole(raw: str, line: str, reader: _Reader) -> Iterator[Chosen]:
    """The reply is nothing but labels, with or without their texts, or nothing but one option's text."""
    if glued := _glued(raw, reader):
        yield glued
        return
    found = reader.text_at(line.rstrip(". "), 0)
    if found and found[1] == len(line.rstrip(". ")) and not reader.grammar.token.fullmatch(line.rstrip(". ")):
        yield frozenset({found[0]})
        return
    labels = reader.labels_at(line, 0, digits=True)
    if labels and re.fullmatch(r"[\s.):!,\]}\-]*", line[labels[1] :]):
        yield labels[0]


def _opening_block(lines: list[str], reader: _Reader) -> Iterator[Chosen]:
    """The reply opens with lines of label and option text; all options in a row only repeat the question."""
    block: set[int] = set()
    for line in lines:
        labels = reader.labels_at(line, 0, digits=False)
        if labels is None or not labels[2] or line[labels[1] :].strip(" .;,"):
            break
        block |= labels[0]
    if 0 < len(block) < len(reader.texts):
        yield frozenset(block)


def _after_leads(line: str, raw: str, reader: _Reader) -> Iterator[Chosen]:
    """Something like `the correct answer is option (B)`; a negation before or after it undoes it."""
    for lead in reader.grammar.lead.finditer(line):
        before = line[: lead.start()].split()[-1:]
        if before and reader.grammar.wrong.fullmatch(before[0]):
            continue
        named = reader.text_at(line, lead.end())
        labels = reader.labels_at(line, lead.end(), digits=True)
        if named and (labels is None or len(reader.texts[named[0]]) > 2):
            yield frozenset({named[0]})
        elif labels and (lead[1].strip() or not reader.grammar.wrong.match(line, labels[1])):
            yield labels[0]
        elif labels is None and (tail := re.search(r"(?<![A-Za-z])[A-H]{2,8}(?![A-Za-z])\W*$", raw)):
            folded_tail = _fold(tail[0])
            if line.endswith(folded_tail) and lead.end() == len(line) - len(folded_tail):
                yield from filter(None, [_glued(re.sub(r"\W", "", tail[0]), reader)])


def _called_right(line: str, reader: _Reader) -> Iterator[Chosen]:
    """Something like `B is correct` or `OPTION A,C IS CORRECT`."""
    at = 0
    while token := reader.grammar.token.search(line, at):
        labels = reader.labels_at(line, token.start(), digits=False)
        at = labels[1] if labels else token.end()
        loose = (frozenset({reader.grammar.labels[token[1]]}), token.end(), False) if (
            labels is None and token[1] in reader.grammar.labels
        ) else labels  # fmt: skip
        if loose and reader.grammar.right.match(line, loose[1]):
            before = line[: token.start()].split()[-1:]
            if not (before and reader.grammar.wrong.fullmatch(before[0])):
                yield loose[0]


def _noun_line(line: str, reader: _Reader) -> Iterator[Chosen]:
    """A line that is only `Option B`, or `选项B`, with or without the option's text."""
    noun = reader.grammar.noun.match(line)
    labels = reader.labels_at(line, noun.end(), digits=True) if noun else None
    if labels and not line[labels[1] :].strip(" .:;,)"):
        yield labels[0]


def _yes_or_no(lines: list[str], reader: _Reader) -> Iterator[Chosen]:
    """A reply that opens with the word and a sign, a line that is the word, or the word after a lead."""
    if not reader.words:
        return
    words = "|".join(re.escape(word) for word in sorted(reader.words, key=len, reverse=True))
    stop = r"(?=\s*(?:$|[.,;:!?)\]\"'»」—–-]))"
    opening = re.compile(rf"{_OPEN}({words}){stop}")
    if lines and (found := opening.match(lines[0])):
        yield frozenset({reader.words[found[1]]})
    for line in lines:
        if found := re.fullmatch(rf"{_OPEN}({words})[\s.!)\]\"'»」]*", line):
            yield frozenset({reader.words[found[1]]})
        for lead in reader.grammar.lead.finditer(line):
            if found := opening.match(line, lead.end()) or opening.match(line, lead.start(1)):
                yield frozenset({reader.words[found[1]]})


def _standing_alone(lines: list[str], reader: _Reader) -> Iterator[Chosen]:
    """Labels that are a line, or that open one before a sign or their own text."""
    for line in lines:
        if labels := reader.labels_at(line, 0, digits=False):
            signs = r"\s*$|\s*[.):\]\-–—]" if len(labels[0]) > 1 else r"\s*$|\s*[.):,;\]–—]|\s-"
            bracketed = len(labels[0]) == 1 and line[labels[1] - 1] in ")]"
            if labels[2] or bracketed or re.match(signs, line[labels[1] :]):
                yield labels[0]


def _option_named(lines: list[str], reader: _Reader) -> Iterator[Chosen]:
    """Option texts that occur as whole tokens; a longer text covers the shorter ones inside it."""
    if reader.words:
        return
    whole = "\n".join(lines)
    for index in sorted(range(len(reader.texts)), key=lambda i: -len(reader.texts[i])):
        text = reader.texts[index]
        spans = [
            found.span()
            for found in re.finditer(re.escape(text), whole)
            if text and _starts(whole, found.start()) and _ends(whole, found.end())
        ]
        if spans and not re.fullmatch(reader.grammar.token, text):
            yield frozenset({index})
        for start, end in spans:
            whole = whole[:start] + "\0" * (end - start) + whole[end:]


def split_reply(text: str, code: str) -> tuple[str, str]:
    """Return (rationale, answer) of a reply: the answer is the last line that opens with a statement of it.

    Without such a line all of it is rationale, and the answer is empty.
    """
    lead = _grammar(code, ("A", "B")).lead
    lines = text.strip().split("\n")
    for index in range(len(lines) - 1, -1, -1):
        if lead.match(re.sub(r"^[#>\s]+", "", _fold(lines[index]))):
            return "\n".join(lines[:index]).strip(), "\n".join(lines[index:]).strip()
    return text.strip(), ""
