"""The room `sources`: published medical data sets, each read by a module of its name.

A new source is a module with `SOURCE = Source(...)` and a line in `NAMES`; it is imported when it is
first asked for.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module

from bimedix.errors import UsageError, did_you_mean
from bimedix.sources.base import Source

NAMES: tuple[str, ...] = (
    "aci_bench",
    "arabicmmlu",
    "bio_mqm",
    "chatdoctor5k",
    "chinese_medical_dialogue",
    "covid19_datashare",
    "covid_faq_ar",
    "covid_faq_ar_pairs",
    "exams_arabic",
    "frenchmedmcqa",
    "head_qa",
    "healthcaremagic",
    "icliniq",
    "igakuqa",
    "instruction",
    "jsquad",
    "liveqa",
    "mcq_rows",
    "medarabiq",
    "medical_meadow",
    "medicationqa",
    "medmcqa",
    "medqa",
    "medquad",
    "mentalqa",
    "messages",
    "mmedbench",
    "mmlu_medical",
    "mmlu_other",
    "morfitt",
    "mts_dialog",
    "openstax_anatomy",
    "pmc_llama",
    "pubmedqa",
    "records",
    "rumeddanet",
    "rumedtest",
    "rumedtop3",
    "sharegpt",
    "tico19",
    "tmx",
    "ud_pud",
    "ud_pud_pairs",
    "wikidoc",
    "xmedbench",
    "xquad",
)  # fmt: skip
"""All sources: module names in this package, one a line, in alphabetical order."""


class _Sources(Mapping[str, Source]):
    """The registry: looks like a dict, imports a reader when it is asked for."""

    def __getitem__(self, name: str) -> Source:
        if name not in NAMES:
            raise KeyError(name)
        source = import_module(f"{__name__}.{name}").SOURCE
        assert isinstance(source, Source), name
        return source

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


SOURCES: Mapping[str, Source] = _Sources()


def source(name: str) -> Source:
    """Return the source of this name.

    Raises:
        UsageError: it is not registered.
    """
    require_name(name)
    return SOURCES[name]


def require_name(name: str) -> str:
    """Return the name when it is registered, without importing the reader.

    Raises:
        UsageError: it is not.
    """
    if name not in NAMES:
        raise UsageError(
            f"no source is called '{name}'.{did_you_mean(name, NAMES)}\n  Known: {', '.join(NAMES)}."
        )
    return name
