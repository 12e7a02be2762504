"""What `bimedix ls` and `bimedix env` print: rows of plain values, first row the heads."""

import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from bimedix import __version__

Rows = list[tuple[Any, ...]]


def list_recipes() -> Rows:
    """Return the shipped recipes with their titles."""
    import tomllib

    from bimedix.recipe import shipped_recipes

    rows: Rows = [("recipe", "what")]
    for name, path in shipped_recipes().items():
        rows.append((name, tomllib.loads(path.read_text(encoding="utf-8")).get("title", "")))
    return rows


def list_sources() -> Rows:
    """Return the registered sources."""
    from bimedix.sources import SOURCES

    head: Rows = [("source", "gives", "languages", "licence", "published at")]
    return head + [(s.name, s.gives, ",".join(s.languages), s.licence, s.address) for s in SOURCES.values()]


def list_languages() -> Rows:
    """Return the table of languages."""
    from bimedix.languages import LANGUAGES

    head: Rows = [("code", "name", "direction", "options", "yes/no/maybe")]
    return head + [
        (row.code, row.name, row.direction, " ".join(row.option_letters[:5]), "/".join(row.yes_no_maybe))
        for row in LANGUAGES.values()
    ]


def list_checks() -> Rows:
    """Return the integrity checks."""
    from bimedix.integrity import CHECKS

    head: Rows = [("check", "severity", "what it finds")]
    return head + [(name, c.severity, c.about) for name, c in CHECKS.items()]


def list_benchmarks() -> Rows:
    """Return the nine columns of BiMediX and the six of MMedBench."""
    from bimedix.benchmarks import REGISTERED

    head: Rows = [("benchmark", "items", "what", "told by data set/split")]
    return head + [
        (name, str(row.items), row.title, ", ".join(map("/".join, row.places)))
        for name, row in REGISTERED.items()
    ]


LISTINGS: dict[str, Callable[[], Rows]] = {
    "recipes": list_recipes,
    "sources": list_sources,
    "languages": list_languages,
    "checks": list_checks,
    "benchmarks": list_benchmarks,
}


def recipe_schema() -> str:
    """Return the JSON Schema of recipes as text."""
    from bimedix.recipe import json_schema

    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode()


def environment() -> dict[str, str]:
    """Return what this machine has, without importing torch."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    facts = {
        "bimedix": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{memory:.1f} GiB",
        "NVIDIA driver": _nvidia(),
    }
    for package in (
        "torch",
        "transformers",
        "accelerate",
        "starlette",
        "sqlalchemy",
        "peft",
        "lm_eval",
        "datasets",
    ):
        try:
            facts[package] = version(package.replace("_", "-")) if find_spec(package) else "not installed"
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def _nvidia() -> str:
    told = Path("/proc/driver/nvidia/version")
    return told.read_text().splitlines()[0].split("  ")[1] if told.exists() else "none"
