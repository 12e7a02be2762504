"""What a dialogue may not do: say more than its item, read out the exam, or stop before a conclusion.

Pure functions; each returns short, countable reasons. Source: data.md, section 3, point 3.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from bimedix.integrity.numbers import Number
from bimedix.integrity.pair import Side
from bimedix.integrity.units import same_quantity
from bimedix.languages import language
from bimedix.records import MultipleChoice, Turn, item_fields
from bimedix.synthesize.settings import Settings
from bimedix.text import normalise, words, written_in

OTHER_LANGUAGE = "is not in the item's language"
_EXAM_WORDS: dict[str, tuple[str, ...]] = {
    "en": (
        r"\baccording to the question\b", r"\b(?:this|the) (?:exam|test) question\b", r"\banswer choices?\b",
        r"\bmultiple[- ]choice\b", r"\bcorrect (?:answer|option)\b", r"\b(?:following|given) options\b",
        r"\boptions? (?:\([a-h]\)|[b-h])(?![\w'])", r"\boption a\b(?! \w)",
    ),
    "ar": (
        r"(?:خيار|اجابه) ?\(?(?:[ابجد](?!\w)|هـ|ه(?!\w))", r"(?:اجابه|خيار) (?:ال)?صحيح", r"حسب السوال",
        r"اختيار من متعدد", r"الخيارات (?:التاليه|المعطاه)",
    ),
    "es": (
        r"\bopcion(?:es)? \(?[a-h]\)?(?!\w)", r"\bopción \(?[a-h]\)?(?!\w)", r"\brespuesta correcta",
        r"\bseg[uú]n la pregunta", r"\bopción múltiple",
    ),
    "fr": (
        r"\boption \(?[a-h]\)?(?!\w)", r"\b(?:bonne|mauvaise) réponse", r"\bselon la question",
        r"\bchoix multiples?", r"\bqcm\b",
    ),
    "ru": (r"\bвариант\w* \(?[a-hа-е]\)?(?!\w)", r"\bправильн\w+ (?:ответ|вариант)", r"\bсогласно вопросу"),
    "zh": ("选项", "正确答案", "题目", "单选", "多选", "根据问题"),
    "ja": ("選択肢", "正解は", "設問", "問題文", "正しい答え"),
}  # fmt: skip
"""Words of exams, matched in the normalised text of a turn."""
_EXAM = {code: re.compile("|".join(patterns)) for code, patterns in _EXAM_WORDS.items()}
_QUESTION_ENDS = ("?", "؟", "？")
_ASKS = re.compile(r"[?؟？]|か。")
_LONG_OPTION = 6
_COMMON: dict[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "en": "the and is are you of with have this for your not",
        "es": "el los las que usted una es con está por tiene del su y",
        "fr": "le les des est vous une et avec pour dans votre pas qui du",
        "ja": "の は を に が で と も",
        "zh": "的 是 您 了 不 我 你 和 这 为",
    }.items()
}
"""Words (zh, ja: characters) that tell languages of one script apart."""


def dialogue_problems(
    item: MultipleChoice, turns: Sequence[Turn], exchanges: int, settings: Settings
) -> tuple[str, ...]:
    """Return what is wrong with a dialogue made from `item`, aimed at `exchanges`; empty when nothing is."""
    shape = tuple(_shape(turns, exchanges, settings))
    return shape or tuple(_content(item, turns))


def _shape(turns: Sequence[Turn], exchanges: int, settings: Settings) -> Iterator[str]:
    roles = [turn.role for turn in turns]
    if roles != ["user", "assistant"] * (len(turns) // 2):
        yield "roles do not alternate from patient to doctor"
    elif turns[-1].text.rstrip(" \"'»”)").endswith(_QUESTION_ENDS):
        yield "does not end on a conclusion"
    if abs(len(turns) / 2 - exchanges) > settings.exchange_tolerance:
        yield "too few or too many turns"
    if any(len(turn.text) > settings.turn_characters for turn in turns):
        yield "a turn is too long"


def _content(item: MultipleChoice, turns: Sequence[Turn]) -> Iterator[str]:
    if not is_in_language("\n".join(turn.text for turn in turns), item.language):
        yield OTHER_LANGUAGE
    if not any(turn.role == "assistant" and _ASKS.search(turn.text) for turn in turns[:-1]):
        yield "concludes before it has asked"
    if speaks_of_exam(item.language, [turn.text for turn in turns]):
        yield "speaks of an exam"
    if any(_reads_options(item, turn.text) for turn in turns):
        yield "reads the options out"
    if made_up_numbers(item, [turn.text for turn in turns]):
        yield "a number is not in the item"


def is_in_language(text: str, code: str) -> bool:
    """Tell whether a text is in the script of a language, and in no other language of that script."""
    if not written_in(text, code):
        return False
    row, found = language(code), Counter(words(text.lower(), code))
    rivals = [c for c in _COMMON if language(c).script == row.script]
    counts = {c: sum(found[word] for word in _COMMON[c]) for c in rivals}
    return not counts or counts[row.code] == max(counts.values())


def speaks_of_exam(code: str, texts: Sequence[str]) -> bool:
    """Tell whether a text speaks of questions, options or letters as an exam does."""
    pattern = _EXAM[language(code).code]
    return any(pattern.search(normalise(text)) for text in texts)


def _reads_options(item: MultipleChoice, text: str) -> bool:
    """Tell whether one turn holds three options, or all when there are fewer; short words prove nothing."""
    plain = normalise(text)
    options = {normalise(option) for option in item.options}
    telling = [option for option in options if len(option) >= _LONG_OPTION]
    read = sum(option in plain for option in telling)
    return len(telling) >= 2 and read >= min(3, len(telling))


def made_up_numbers(item: MultipleChoice, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the numbers, in digits, that a text has and the item has not, neither in digits nor in words.

    Values are compared, in whatever script; with a unit on both sides the quantity has to agree.
    """
    known = [number for text in item_fields(item).values() for number in Side(text, item.language).numbers]
    made_up = []
    for text in texts:
        side = Side(text, item.language)
        for number in side.numbers:
            if number.form == "digits" and not any(_agree(number, other) for other in known):
                made_up.append(side.folded.cased[number.start : number.end])
    return tuple(made_up)


def _agree(mine: Number, known: Number) -> bool:
    same_value = not set(mine.values).isdisjoint(known.values)
    if same_value and (not mine.unit or not known.unit or mine.unit[0] == known.unit[0]):
        return True
    return any(same_quantity(a, mine.unit, b, known.unit) for a in mine.values for b in known.values)
