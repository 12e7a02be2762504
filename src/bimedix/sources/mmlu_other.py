"""MMLU, all other subjects: general knowledge beside the medical questions, in the same layout.

A row of `test/nutrition_test.csv`, without header (invented):

    Which food holds most water?,Cucumber,Rice,Butter,Flour,A

Useful to see what a medical model has forgotten; nutrition and virology are close to medicine.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source
from bimedix.sources.mmlu_medical import LICENCE, read_subject

NAME = "mmlu_other"
SUBJECTS = (
    "abstract_algebra", "astronomy", "business_ethics", "college_chemistry", "college_computer_science",
    "college_mathematics", "college_physics", "computer_security", "conceptual_physics", "econometrics",
    "electrical_engineering", "elementary_mathematics", "formal_logic", "global_facts",
    "high_school_biology", "high_school_chemistry", "high_school_computer_science",
    "high_school_european_history", "high_school_geography", "high_school_government_and_politics",
    "high_school_macroeconomics", "high_school_mathematics", "high_school_microeconomics",
    "high_school_physics", "high_school_psychology", "high_school_statistics", "high_school_us_history",
    "high_school_world_history", "human_aging", "human_sexuality", "international_law", "jurisprudence",
    "logical_fallacies", "machine_learning", "management", "marketing", "miscellaneous", "moral_disputes",
    "moral_scenarios", "nutrition", "philosophy", "prehistory", "professional_accounting",
    "professional_law", "professional_psychology", "public_relations", "security_studies", "sociology",
    "us_foreign_policy", "virology", "world_religions",
)  # fmt: skip


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one subject."""
    yield from read_subject(path, options, NAME)


SOURCE = Source(
    name=NAME,
    title="MMLU, other subjects (English, Arabic)",
    licence=LICENCE,
    address="https://github.com/hendrycks/test",
    languages=("en", "ar"),
    gives="multiple_choice",
    files=tuple(f"{split}/{subject}_{split}.csv" for subject in SUBJECTS for split in ("test", "dev", "val")),
    read=read,
)
