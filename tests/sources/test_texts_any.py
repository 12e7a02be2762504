"""What holds for every reader of texts: bad files are refused with their place, repeats are set aside."""

import re
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bimedix.errors import DataError, MissingError
from bimedix.records import KINDS, Dropped
from bimedix.sources import NAMES, source
from bimedix.sources.base import Given, Options

Write = Callable[[str, Any], Path]
Read = Callable[..., list[Given]]

FILES = {
    "aci_bench": "challenge_data/train.csv",
    "bio_mqm": "round_two/en2fr/X_run1.json",
    "chatdoctor5k": "chatdoctor5k.json",
    "chinese_medical_dialogue": "样例_内科.csv",
    "covid19_datashare": "wikipedia/ar.xml",
    "covid_faq_ar": "MT_ar_faq_covidbert.csv",
    "covid_faq_ar_pairs": "MT_ar_faq_covidbert.csv",
    "healthcaremagic": "HealthCareMagic-100k.json",
    "icliniq": "iCliniq-10k.json",
    "jsquad": "jsquad-v1.3/valid-v1.3.json",
    "liveqa": "TestDataset/TREC-2017-LiveQA-Medical-Test.xml",
    "medical_meadow": "medical_meadow_small.json",
    "medicationqa": "MedInfo2019-QA-Medications.xlsx",
    "medquad": "1_Site_QA/0000001.xml",
    "mentalqa": "Train_Dev.tsv",
    "morfitt": "morfitt/train.tsv",
    "mts_dialog": "MTS-Dialog-TrainingSet.csv",
    "openstax_anatomy": "contents/m1.md",
    "rumedtop3": "RuMedTop3/train_v1.jsonl",
    "tico19": "terminologies/f_en-ar_AR.csv",
    "tmx": "memory.tmx",
    "ud_pud": "ar_pud-ud-test.conllu",
    "ud_pud_pairs": "ar_pud-ud-test.conllu",
    "wikidoc": "wikidoc/knee.md",
    "xquad": "xquad.ar.json",
}


@pytest.mark.parametrize("name", FILES)
def test_a_source_says_what_it_is(name: str) -> None:
    """The registry's row is whole, its module shows a sample, and a published file name fits its patterns."""
    known = source(name)

    assert name in NAMES
    assert known.name == name
    assert known.gives in KINDS
    assert known.title and known.licence and known.address.startswith("https://")
    assert any(Path("folder", FILES[name]).match(pattern) for pattern in known.files)
    assert len(import_module(f"bimedix.sources.{name}").__doc__ or "") > 200


@pytest.mark.parametrize("name", FILES)
def test_a_git_lfs_pointer_is_not_taken_for_data(name: str, write: Write, read: Read) -> None:
    path = write(FILES[name], "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")

    with pytest.raises(MissingError, match="git lfs pull"):
        read(name, path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_refused_with_its_place(name: str, write: Write, read: Read) -> None:
    path = write(FILES[name], "no such thing\nand more of it\n")

    with pytest.raises(DataError, match=rf"{re.escape(path.name)}:\d"):
        read(name, path)


COUNTS: dict[str, tuple[str, dict[str, int]]] = {
    "aci_bench": ("aci-bench", {"read": 22}),
    "bio_mqm": ("bio-mqm", {"read": 1155}),
    "chatdoctor5k": ("chatdoctor", {"read": 1000}),
    "chinese_medical_dialogue": ("chinese-medical-dialogue", {"read": 700}),
    "covid19_datashare": ("covid19-datashare", {"read": 116}),
    "covid_faq_ar": ("covid-faq-ar", {"read": 57}),
    "covid_faq_ar_pairs": ("covid-faq-ar", {"read": 2 * 57}),
    "jsquad": ("jsquad", {"read": 1324}),
    "medical_meadow": ("medical-meadow", {"read": 1971}),
    "medquad": ("medquad", {"read": 289, "empty answer": 129}),
    "mentalqa": ("mentalqa", {"read": 98}),
    "morfitt": ("morfitt", {"read": 450}),
    "mts_dialog": ("mts-dialog", {"read": 360, "one speaker only": 2, "no patient speaks": 14}),
    "openstax_anatomy": ("openstax-anatomy-1e", {"read": 14 + 1}),  # the preface states the licence
    "rumedtop3": ("rumedbench", {"read": 400}),
    "tico19": ("tico19", {"read": 5985}),
    "ud_pud": ("ud-pud", {"read": 900}),
    "ud_pud_pairs": ("ud-pud", {"read": 750, "is the English side itself": 150}),
    "wikidoc": ("wikidoc-dailymed", {"read": 5}),
    "xquad": ("xquad", {"read": 2000}),
}
"""Folder of the samples, and how many records are read and dropped; read + dropped is its README's count."""


@pytest.mark.parametrize("name", COUNTS)
def test_real_files_give_the_counts_that_they_state(name: str, data: Path) -> None:
    """Every row is read or dropped with its reason; no id holds the signs of a lineage."""
    folder, expected = COUNTS[name]
    known = source(name)
    files = [path for path in sorted((data / folder).rglob("*")) if any(map(path.match, known.files))]
    given = [record for path in files for record in known.read(path, Options())]
    kept = [record for record in given if not isinstance(record, Dropped)]
    counts = Counter(record.reason if isinstance(record, Dropped) else "read" for record in given)

    assert counts == expected
    assert {str(record.__struct_config__.tag) for record in kept} == {known.gives}
    assert not any("@" in record.id or "#" in record.id for record in kept)
