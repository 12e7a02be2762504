"""Dialogues and rationales in four languages, from recorded answers: no model is asked.

The first try of each item is what models do wrong (English, exam talk, options read out, no question asked),
the second is right; what is kept is in the item's language and comes to its key.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from bimedix.completers.settings import CompleterSettings
from bimedix.files import read_any_records, read_records, write_records
from bimedix.languages import LANGUAGES
from bimedix.prompts.synthesis import gold_ids, option_ids
from bimedix.records import Dialogue, MultipleChoice, Origin
from bimedix.stage import Context
from bimedix.synthesize.faithful import is_in_language
from bimedix.synthesize.room import Provenance, run
from bimedix.synthesize.settings import Settings


class Case(NamedTuple):
    """An exam item, a faithful talk, what is said of each option, and a bad first try with its reason."""

    dataset: str
    question: str
    options: tuple[str, ...]
    talk: tuple[str, ...]
    why: tuple[str, ...]
    bad: tuple[str, ...]
    reason: str


CASES = {
    "en": Case(
        "medqa",
        "A 34-year-old man has had sharp chest pain for 3 days, worse lying flat. Most likely diagnosis?",
        ("Acute myocardial infarction", "Acute pericarditis", "Pulmonary embolism"),
        ("I have had a sharp pain in my chest for 3 days.", "How old are you, and does lying down change it?",
         "I am 34, and it gets worse when I lie flat.", "You have an inflammation of the heart's sac, acute "
         "pericarditis, and you should be examined today."),
        ("The pain would not depend on posture.", "Sharp pain that is worse lying flat is typical of it.",
         "There is no shortness of breath."),
        ("My chest hurts.", "You should rest.", "For 3 days.", "This is acute pericarditis."),
        "concludes before it has asked",
    ),
    "ar": Case(
        "medmcqa",
        "رجل عمره 34 عامًا يشكو منذ 3 أيام من ألم حاد في الصدر يزداد عند الاستلقاء. ما التشخيص الأرجح؟",
        ("احتشاء عضلة القلب الحاد", "التهاب التامور الحاد", "الانصمام الرئوي"),
        ("أشعر بألم حاد في صدري منذ ٣ أيام.", "كم عمرك؟ وهل يتغير الألم عند الاستلقاء؟",
         "عمري ٣٤ عامًا، ويزداد الألم عندما أستلقي.",
         "ما تصفه يدل على التهاب التامور الحاد، ويجب أن تُفحص اليوم."),
        ("لا يتغير ألمه بوضعية الجسم.", "الألم الحاد الذي يزداد عند الاستلقاء مميز له.", "لا ضيق في التنفس."),
        ("My chest hurts.", "How old are you?", "I am 34.", "This is acute pericarditis."),
        "is not in the item's language",
    ),
    "zh": Case(
        "medqa",
        "男性，34岁，胸部锐痛3天，平卧时加重。最可能的诊断是什么？",
        ("急性心肌梗死", "急性心包炎症", "急性肺动脉栓塞"),
        ("我的胸口刺痛已经3天了。", "您多大年纪？躺下时疼痛会变化吗？", "我34岁，平躺时更痛。",
         "这是急性心包炎症的表现，您今天需要到医院检查。"),
        ("其疼痛与体位无关。", "平卧时加重的锐痛是它的特点。", "没有呼吸困难的表现。"),
        ("我的胸口刺痛已经3天了。", "您多大年纪？", "我34岁。", "正确答案是急性心包炎症。"),
        "speaks of an exam",
    ),
    "ru": Case(
        "pubmedqa",
        "Мужчина 34 лет 3 дня жалуется на острую боль в груди, которая усиливается лёжа. Вероятный диагноз?",
        ("Острый инфаркт миокарда", "Острый перикардит", "Тромбоэмболия лёгочной артерии"),
        ("Доктор, у меня 3 дня острая боль в груди.", "Сколько вам лет? Меняется ли боль, когда вы ложитесь?",
         "Мне 34 года, лёжа она сильнее.", "Это острый перикардит; сегодня нужно сделать УЗИ сердца."),
        ("Боль не зависела бы от положения тела.", "Острая боль, которая усиливается лёжа, для него типична.",
         "Одышки нет."),
        ("Доктор, у меня 3 дня острая боль в груди.",
         "Это острый инфаркт миокарда, острый перикардит или тромбоэмболия лёгочной артерии?",
         "Мне 34 года.", "Это острый перикардит."),
        "reads the options out",
    ),
}  # fmt: skip


def item(code: str) -> MultipleChoice:
    case = CASES[code]
    origin = Origin(case.dataset, split="train")
    return MultipleChoice(f"{case.dataset}:1-{code}", code, origin, case.question, case.options, (1,))


def turns(texts: tuple[str, ...]) -> str:
    return json.dumps({"turns": [
        {"role": ("patient", "doctor")[at % 2], "text": text} for at, text in enumerate(texts)
    ]})  # fmt: skip


def rationale(code: str, texts: tuple[str, ...], conclusion: str) -> str:
    one = item(code)
    told = {"answers": sorted(gold_ids(one)), "options": dict(zip(option_ids(one), texts, strict=True))}
    return json.dumps(told | {"conclusion": conclusion})


def recorded(code: str) -> list[dict[str, object]]:
    """Return what was said: a bad and a good dialogue, an English and a right rationale, and the readers."""
    case, gold = CASES[code], json.dumps({"answers": sorted(gold_ids(item(code)))})
    english = rationale(
        code, ("It is wrong.", "It is the right one.", "It is not this."), "So it is the one."
    )
    own = rationale(code, case.why, case.talk[-1])
    said = [("dialogue", 0, turns(case.bad)), ("dialogue", 1, turns(case.talk))]
    said += [("rationale", n, own if n or code == "en" else english) for n in range(2)]
    checks = ("answer-check", "conclusion-check", "rationale-check")
    said += [(purpose, n, gold) for purpose in checks for n in range(2)]
    return [
        {"purpose": purpose, "record_id": item(code).id, "sample": sample, "reply": reply}
        for purpose, sample, reply in said
    ]


@pytest.mark.parametrize("code", CASES)
def test_talks_and_rationales_are_made_in_the_items_language(tmp_path: Path, code: str) -> None:
    """The bad first try is named and made again; both records keep the key and lead back to the item."""
    case = CASES[code]
    write_records(tmp_path / "curate" / "records.jsonl", [item(code)])
    lines = map(json.dumps, recorded(code))
    (tmp_path / "said.jsonl").write_text("\n".join(lines), encoding="utf-8")
    settings = Settings(
        kinds=("dialogue", "rationale"), exchanges=(2,), exchange_shares=(1.0,), tries=2,
        completer=CompleterSettings(kind="recording", recording="said.jsonl"),
    )  # fmt: skip
    run(settings, {"curate": tmp_path / "curate"}, tmp_path / "out", Context(tmp_path / "c", base=tmp_path))
    made = {type(record): record for record in read_any_records(tmp_path / "out" / "records.jsonl")}
    traces = {t.kind: t for t in read_records(tmp_path / "out" / "provenance.jsonl", Provenance)}
    chat, explained = made[Dialogue], made[MultipleChoice]

    assert isinstance(chat, Dialogue)
    assert isinstance(explained, MultipleChoice)
    assert (chat.language, chat.parents) == (code, (item(code).id,))
    assert tuple(turn.text for turn in chat.turns) == case.talk
    assert traces["dialogue"].rejected == (case.reason,)
    page = (tmp_path / "out" / "side_by_side.html").read_text(encoding="utf-8")
    assert page.count("<article>") == 2
    assert "options.1 ✓" in page
    assert LANGUAGES[code].doctor in page
    assert explained.answers == (1,)
    assert explained.rationale is not None
    assert all(f"{o}: {w}" in explained.rationale for o, w in zip(case.options, case.why, strict=True))
    assert traces["rationale"].rejected == (() if code == "en" else ("is not in the item's language",))


SENTENCES = {
    "en": "The pain is worse when you lie down, and it is typical of pericarditis.",
    "ar": "يزداد الألم عند الاستلقاء وهذا مميز لالتهاب التامور (pericarditis).",
    "es": "El dolor empeora cuando usted se acuesta y es típico de la pericarditis.",
    "fr": "La douleur est plus forte en position couchée et elle est typique de la péricardite.",
    "ru": "Боль усиливается лёжа, и это типично для перикардита.",
    "zh": "平卧时疼痛加重，这是心包炎的特点。",
    "ja": "横になると痛みが強くなるのは心膜炎の特徴です。",
}


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("said", SENTENCES)
def test_one_language_is_not_taken_for_another(code: str, said: str) -> None:
    """Also where both are written in one script: English, Spanish and French, or Chinese and Japanese."""
    assert is_in_language(SENTENCES[said], code) is (code == said)
