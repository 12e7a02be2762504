"""Integrity checks: recall by family and class of error, alarms on right translations, pairs per second.

Recall comes first from a contrast set that another hand wrote without sight of the checks
(benchmarks/contrast_set): checks were improved on its open part, its held part was looked at in sums alone
(docs/integrity.md tells when). A case is found when its pair has a finding of severity error, which
stops a pair; `named` asks for a finding of the case's own kind. The regression set in tests/integrity was
written together with the checks and says nothing of new texts. Alarms are shares of pairs with an error, real
errors of the translators counted with them (docs/integrity.md lists those of TICO-19).

    BIMEDIX_DATA=... python benchmarks/integrity.py --quick --json
"""

import csv
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

from _common import arguments, finish, median_of
from _seeds import Pair, seeded

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "integrity"))
sys.path.insert(0, str(Path(__file__).resolve().parent / "contrast_set"))
import contrast_cases
from contrast import GLOSSARY, errors, negatives

from bimedix.integrity import Glossary, Term, check_pair, check_set, check_texts
from bimedix.languages import language
from bimedix.records import Finding, MultipleChoice, Origin
from bimedix.statistics import wilson_interval

HERE = Path(__file__).resolve().parent
LANGUAGES = ("ar", "es-LA", "fr", "ru", "zh")
OWN_KIND = {
    "number": {"number", "unit", "frequency"}, "unit": {"unit", "number"}, "option": {"option"},
    "key": {"key"}, "letter": {"letter"}, "cut": {"cut"}, "drug": {"drug", "term", "dose"},
    "negation": {"negation", "side"}, "frequency": {"frequency", "number", "unit", "dose"},
    "route": {"route"}, "other": {"side", "echo", "residue", "stripped", "repeated"},
}  # fmt: skip
"""Checks that name an error of a family."""
MARKS = ("Omission", "Untranslated", "Addition", "number")
"""Kinds of major and critical marks of Bio-MQM that are told apart; a number: an accuracy mark of at most 30
characters with a digit."""


def failed(source: str, target: str, code: str) -> bool:
    return any(finding.severity == "error" for finding in check_texts(source, target, "en", code))


def stops(findings: Iterable[Finding]) -> set[str]:
    """Return the checks that gave an error."""
    return {finding.check for finding in findings if finding.severity == "error"}


def regression() -> dict[str, Any]:
    """Recall and alarms on the set that was written together with the checks."""
    cases, right = list(errors()), list(negatives())
    hits = [bool(stops(check_pair(case.source, case.target, GLOSSARY)) & case.checks) for case in cases]
    alarms = [bool(stops(check_pair(case.source, case.target, GLOSSARY))) for case in right]
    return {
        "regression_set_pairs": len(cases),
        "regression_set_recall": round(sum(hits) / len(hits), 4),
        "regression_set_negatives": len(right),
        "regression_set_alarm_share": round(sum(alarms) / len(alarms), 4),
    }


def contrast(name: str, *parts: contrast_cases.Part) -> dict[str, Any]:
    """Recall by family, class and language, and alarms, on parts of the contrast set."""
    tables: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for case in (case for part in parts for case in contrast_cases.pairs(part)):
        rows = (Term(english, (own,), "drug") for english, own in case.glossary)
        glossary = Glossary(rows, "en", case.language) if case.glossary else None
        found = stops(check_pair(case.source, case.target, glossary))
        if case.family == contrast_cases.HARMLESS:
            for table, row in (
                ("alarms", "all"),
                ("alarms_by_kind", case.cls),
                ("alarms_by_language", case.language),
            ):
                tables[table][row].append(bool(found))
        else:
            tables["recall"][case.family].append(bool(found))
            tables["named"][case.family].append(bool(found & OWN_KIND[case.family]))
            tables["recall_by_class"][case.cls].append(bool(found))
            tables["recall_by_language"][case.language].append(bool(found))
    return {
        f"contrast_{name}_{table}": {row: shown(hits) for row, hits in sorted(rows.items())}
        for table, rows in tables.items()
    }


def shown(hits: list[bool]) -> str:
    """Write a share with its Wilson interval of 95 % and what it is a share of."""
    low, high = wilson_interval(sum(hits), len(hits))
    return f"{sum(hits) / len(hits):.3f} [{low:.3f}, {high:.3f}] of {len(hits)}"


def tico(data: Path, code: str) -> list[Pair]:
    """Read the segments of TICO-19 from English into one language."""
    tree = ElementTree.parse(data / "tico19" / "TM" / f"all.en-{code}.tmx")
    rows = []
    for unit in tree.iter("tu"):
        segments = ["".join(seg.itertext()) for seg in unit.iter("seg")]
        rows.append((unit.get("tuid", ""), segments[0], segments[1]))
    return rows


def on_tico(data: Path, quick: bool) -> dict[str, Any]:
    """Alarms on the human translations by language, and recall of errors seeded into those without one."""
    alarms, recall = {}, {}
    for code in LANGUAGES:
        own, pairs = language(code).code, tico(data, code)
        wrong = [failed(source, target, own) for _, source, target in pairs]
        alarms[own] = shown(wrong)
        right = [pair for pair, one in zip(pairs, wrong, strict=True) if not one]
        hits: dict[str, list[bool]] = defaultdict(list)
        for name, source, damaged in seeded(right[::3] if quick else right, own):
            hits[name].append(failed(source, damaged, own))
        recall |= {f"{own} {name}": shown(found) for name, found in sorted(hits.items())}
    return {"tico19_alarms": alarms, "tico19_seeded_recall": recall}


def on_general_text(data: Path) -> dict[str, Any]:
    """Alarms on human translations of general text: sentences of PUD, questions and paragraphs of XQuAD."""
    alarms: dict[str, str] = {}
    english = dict(pud(data, "en"))
    for code in ("ar", "es", "fr", "ru", "zh"):
        texts = [(english[key], text) for key, text in pud(data, code) if key in english]
        alarms[f"pud {code} sentences"] = shown([failed(mine, theirs, code) for mine, theirs in texts])
    for code in ("ar", "es", "ru", "zh"):
        for kind, mine, theirs in zip(
            ("questions", "paragraphs"), xquad(data, "en"), xquad(data, code), strict=True
        ):
            wrong = [failed(mine[key], text, code) for key, text in theirs.items() if key in mine]
            alarms[f"xquad {code} {kind}"] = shown(wrong)
    return {"general_text_alarms": alarms}


def pud(data: Path, code: str) -> Iterable[tuple[str, str]]:
    """Yield (sentence id, text) of a treebank file."""
    key = ""
    for line in (data / "ud-pud" / f"{code}_pud-ud-test.conllu").read_text(encoding="utf-8").splitlines():
        if line.startswith("# sent_id = "):
            key = line.removeprefix("# sent_id = ")
        elif line.startswith("# text = "):
            yield key, line.removeprefix("# text = ")


def xquad(data: Path, code: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return questions and paragraphs by id of the question, of the paragraph's first one."""
    articles = json.loads((data / "xquad" / f"xquad.{code}.json").read_text(encoding="utf-8"))["data"]
    parts = [part for article in articles for part in article["paragraphs"]]
    questions = {asked["id"]: asked["question"] for part in parts for asked in part["qas"]}
    return questions, {part["qas"][0]["id"]: part["context"] for part in parts}


def on_bio_mqm(data: Path) -> dict[str, Any]:
    """Shares of the marks of people that stand in a pair with an error, and alarms where they marked nothing.

    Marks are major or critical. A mark whose words stand in neither text belongs to another segment and is
    left out.
    """
    found: dict[str, list[bool]] = defaultdict(list)
    clean: dict[str, list[bool]] = defaultdict(list)
    astray = 0
    for path in sorted((data / "bio-mqm/v2/round_two").glob("en2*/*.json")):
        code = path.parent.name.removeprefix("en2")
        for row in json.loads(path.read_text(encoding="utf-8")):
            stopped = failed(row["source"], row["target"], code)
            marks = [mark for mark in row["source_errors"] + row["target_errors"] if is_grave(mark)]
            there = [mark for mark in marks if mark["term"].strip() in row["source"] + row["target"]]
            astray += len(marks) - len(there)
            for kind in (kind for mark in there for kind in kinds(mark)):
                found[f"{code} {kind}"].append(stopped)
            if not marks:
                clean[f"{code} {'reference' if path.stem == 'reference' else 'machine'}"].append(stopped)
    return {
        "bio_mqm_marks_in_stopped_pairs": {name: shown(hits) for name, hits in sorted(found.items())},
        "bio_mqm_alarms_without_grave_marks": {name: shown(hits) for name, hits in sorted(clean.items())},
        "bio_mqm_marks_astray": astray,
    }


def is_grave(mark: dict[str, Any]) -> bool:
    return mark["severity"] in ("Major", "Critical") and mark["error_category"] != "Source"


def kinds(mark: dict[str, Any]) -> list[str]:
    number = (
        mark["error_category"] == "Accuracy" and len(mark["term"]) <= 30 and re.search(r"\d", mark["term"])
    )
    return (
        [kind for kind in MARKS if kind == mark["error_subcategory"]]
        + (["number"] if number else [])
        + ["any"]
    )


def faq(data: Path) -> list[Pair]:
    with (data / "covid-faq-ar/faqs/MT_ar_faq_covidbert.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        (f"{index}:{name}", row[name], row[f"{name}_ar"])
        for index, row in enumerate(rows)
        for name in ("question", "answer")
    ]


def on_mmlu(data: Path) -> dict[str, Any]:
    """Rows of the Arabic MMLU that are no translation: by labels read row by row, and by the old rule.

    The old rule tells them by their options: addresses together with a firewall or intrusion detection.
    """
    with (HERE / "labels" / "mmlu_ar.jsonl").open(encoding="utf-8") as file:
        labels = {(row["file"], row["row"]): row["label"] for row in map(json.loads, file)}
    texts, spoofing, single = [], set(), set()
    for path in sorted((data / "mmlu-medical" / "en" / "test").glob("*.csv")):
        for number, (mine, theirs) in enumerate(zip(*both_sides(path), strict=True), start=1):
            key = f"{path.name}:{number}"
            texts.append((key, "\n".join(mine[:5]), "\n".join(theirs[:5])))
            options = " ".join(theirs[1:5])
            if re.search("عنوان|عناوين", options) and re.search("جدار|الاختراق|التسلل|حماية", options):
                spoofing.add(key)
            if stops(check_pair(question(mine, "en"), question(theirs, "ar"))):
                single.add(key)
    over_set = {key for key, findings in check_set(texts).items() if stops(findings)}
    by_label: dict[str, dict[str, list[bool]]] = {"set": defaultdict(list), "set_or_pair": defaultdict(list)}
    for (name, number), label in labels.items():
        key = f"{name}:{number}"
        by_label["set"][label].append(key in over_set)
        by_label["set_or_pair"][label].append(key in over_set | single)
    rest = [key for key, _, _ in texts if key not in spoofing]
    return {
        "mmlu_ar_old_rule_recall_set": shown([key in over_set for key in spoofing]),
        "mmlu_ar_old_rule_alarms_set": shown([key in over_set for key in rest]),
    } | {
        f"mmlu_ar_labels_stopped_by_{name}": {label: shown(hits) for label, hits in sorted(table.items())}
        for name, table in by_label.items()
    }


def both_sides(path: Path) -> list[list[list[str]]]:
    sides = []
    for code in ("en", "ar"):
        with (path.parents[2] / code / "test" / path.name).open(encoding="utf-8", newline="") as file:
            sides.append(list(csv.reader(file)))
    return sides


def question(row: list[str], code: str) -> MultipleChoice:
    key = "ABCD".find(row[5]) if row[5] else -1
    return MultipleChoice("mmlu", code, Origin("mmlu"), row[0], tuple(row[1:5]), (key,) if key >= 0 else ())


def on_data(data: Path, quick: bool, repeats: int) -> dict[str, Any]:
    """Everything that needs the sample data."""
    figures = on_tico(data, quick) | on_general_text(data) | on_bio_mqm(data) | on_mmlu(data)
    machine = [failed(source, target, "ar") for _, source, target in faq(data)]
    figures["covid_faq_machine_translation_alarms"] = shown(machine)
    arabic = tico(data, "ar")
    timing = median_of(lambda: [failed(s, t, "ar") for _, s, t in arabic], repeats)
    figures["pairs_per_s"] = round(timing.rate(len(arabic)))
    figures["pairs_per_cpu_s"] = round(timing.cpu_rate(len(arabic)))
    return figures | timing.figures("tico19_en_ar_919_pairs")


def main() -> None:
    options = arguments(__doc__)
    figures = regression()
    for part in get_args(contrast_cases.Part):
        figures |= contrast(part, part)
    figures |= contrast("both_held", "held", "second_held")
    left_out = []
    data = os.environ.get("BIMEDIX_DATA")
    if data and Path(data).is_dir():
        figures |= on_data(Path(data), options.quick, options.repeats)
    else:
        left_out.append(
            "all figures on TICO-19, PUD, XQuAD, Bio-MQM, the FAQ and Arabic MMLU: BIMEDIX_DATA is not set"
        )
        cases = [case for case in errors() if case.name.startswith("number")]
        timing = median_of(lambda: [check_pair(c.source, c.target, GLOSSARY) for c in cases], options.repeats)
        figures["pairs_per_s"] = round(timing.rate(len(cases)))
        figures["pairs_per_cpu_s"] = round(timing.cpu_rate(len(cases)))
    if options.quick and data:
        left_out.append("two of three segments for seeding errors (--quick)")
    figures["left_out"] = left_out
    finish(figures, options.json, packages=("ahocorasick-rs", "numpy", "msgspec", "rapidfuzz"))


if __name__ == "__main__":
    main()
