"""The shipped recipes: they read, every number names its source, slips of the pen are found, `validate`."""

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bimedix.errors import RecipeError
from bimedix.listing import recipe_schema
from bimedix.recipe import ROOMS, Recipe, read_recipe, settings_class, shipped_recipes

DOCS = Path(__file__).resolve().parents[1] / "docs"
NAMES = ("bimedix_ar", "bimedix_en", "bimedix_en_ar", "mmedlm_six", "real_sample", "tiny")
_KEY = re.compile(r"(?:^|[{,])\s*([A-Za-z_][\w.]*)\s*=")
_TABLE = re.compile(r"^\[\[?([\w.]+)\]\]?")


@pytest.fixture(autouse=True)
def somewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Recipes name the data folder by a variable; reading them asks for no data."""
    monkeypatch.setenv("BIMEDIX_DATA", str(tmp_path))
    monkeypatch.setenv("BIMEDIX_RUN", str(tmp_path))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def read(name: str, *overrides: str) -> Recipe:
    return read_recipe(shipped_recipes()[name], overrides)


def test_these_are_shipped() -> None:
    assert set(shipped_recipes()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_reads(name: str) -> None:
    recipe = read(name)

    assert recipe.name == name and recipe.title
    assert {"sources", "mix", "train"} <= set(recipe.rooms)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "tiny"])
def test_every_key_says_where_its_value_comes_from(name: str) -> None:
    """A comment on the line; the test sets of BiMediX have theirs on their first line."""
    table, bare = "", []
    for number, line in enumerate(shipped_recipes()[name].read_text().splitlines(), 1):
        table = found[1] if (found := _TABLE.match(line)) else table
        of_a_test_set = table == "evaluate.benchmarks" and not line.startswith("name")
        if _KEY.match(line) and "#" not in line and not of_a_test_set and number > 9:
            bare.append(f"{number}: {line}")

    assert bare == []


def test_bimedix_is_the_paper() -> None:
    """The numbers of sections 3 and 4.1, and what they add up to."""
    recipe = read("bimedix_en_ar")
    train, mix, phase = recipe.rooms["train"], recipe.rooms["mix"], recipe.rooms["train"].phases[0]

    assert (train.adapter.rank, train.adapter.alpha, train.adapter.router) == (128, 64.0, "lora")
    assert train.adapter.targets == ("q", "k", "v", "w1", "w2", "w3", "gate")
    assert (phase.epochs, phase.batch_size, phase.learning_rate) == (2.0, 16, 2e-4)
    assert (phase.schedule, phase.warmup_steps, phase.supervise) == ("cosine", 10, "replies")
    assert (mix.ratio, mix.basis) == ((1.0, 2.0), "samples")
    assert round(0.5135 * 866_600) == 444_999 and recipe.rooms["translate"].share == 0.5135
    tested = recipe.rooms["evaluate"].benchmarks
    assert len({b.name for b in tested}) == 9 and len(tested) == 18
    sources = {entry.source for entry in recipe.rooms["sources"].data}
    assert sources == {
        "medmcqa", "medqa", "pubmedqa", "healthcaremagic", "icliniq", "medical_meadow", "pmc_llama",
        "medicationqa", "mmlu_medical",
    }  # fmt: skip


@pytest.mark.parametrize(("language", "table"), [("en", "bimedix-4"), ("ar", "bimedix-3")])
def test_a_variant_is_trained_and_tested_like_the_bilingual_one_on_its_own_language(
    language: str, table: str
) -> None:
    """BiMediX-Eng and BiMediX-Ara: the same adapters and steps; nine columns in one language."""
    variant, both = read(f"bimedix_{language}"), read("bimedix_en_ar")
    tests = variant.rooms["evaluate"].benchmarks
    wanted = [b for b in both.rooms["evaluate"].benchmarks if b.language == language]

    assert variant.rooms["train"] == both.rooms["train"]
    assert (variant.seed, variant.rooms["sources"].languages) == (both.seed, (language,))
    assert {(b.name, b.dataset, b.split, b.subject, b.language) for b in tests} == {
        (b.name, b.dataset, b.split, b.subject, b.language) for b in wanted
    }
    assert len(tests) == 9 and variant.rooms["evaluate"].published == (table,)


def test_variants_read_their_part_of_a_bilingual_mix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All of one language and nothing of the other, the same samples held back."""
    from bimedix.path import run_path

    both = read_recipe(shipped_recipes()["tiny"])
    run_path(both, tmp_path / "both", until="mix")
    monkeypatch.setenv("BIMEDIX_RUN", str(tmp_path / "both"))

    def lines(run: str, name: str) -> set[str]:
        return set((tmp_path / run / "06_mix" / name).read_text().splitlines())

    for language in ("en", "ar"):
        run_path(read(f"bimedix_{language}", "mix.validation_share=0.04"), tmp_path / language, until="mix")
        for name in ("train.jsonl", "validation.jsonl"):
            own = {line for line in lines("both", name) if f'"language":"{language}"' in line}
            assert own and lines(language, name) == own


def test_mmedlm_is_the_release() -> None:
    """Continued pre-training on text, then tuning on MMedBench, with the released scripts' numbers."""
    train = read("mmedlm_six").rooms["train"]
    text, tuning = train.phases

    assert (text.data, text.epochs, text.batch_size, text.learning_rate) == ("passages", 3.0, 512, 2e-5)
    assert (text.warmup_share, text.weight_decay) == (0.01, 0.01)
    assert (tuning.epochs, tuning.batch_size, tuning.learning_rate) == (5.0, 128, 1e-6)
    assert (train.max_tokens_per_sample, read("mmedlm_six").rooms["mix"].segment_tokens) == (2048, 2048)


# --- slips of the pen -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slip:
    """A key of a recipe, misspelt by one letter."""

    line: int
    key: str
    text: str
    """The whole recipe with the slip in it."""


FREE = {"keywords"}
"""Tables whose keys are the user's own."""


def slips(text: str) -> Iterator[Slip]:
    """Yield the recipe with two letters of a key swapped, and with one left out, for every key and table."""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        code = line.split("#")[0]
        found = [*_KEY.finditer(code)] or [*_TABLE.finditer(code)]
        for match in found:
            start, key = match.start(1) + match[1].rfind(".") + 1, match[1].split(".")[-1]
            if key in FREE:
                continue
            for wrong in misspelt(key):
                changed = line[:start] + wrong + line[start + len(key) :]
                yield Slip(number, key, "\n".join([*lines[: number - 1], changed, *lines[number:]]))


def misspelt(key: str) -> Iterator[str]:
    middle = len(key) // 2
    at = next((i for i in (middle, *range(1, len(key))) if key[i - 1] != key[i]), 0)
    if at:
        yield key[: at - 1] + key[at] + key[at - 1] + key[at + 1 :]
    if len(key) > 2:
        yield key[:middle] + key[middle + 1 :]


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_key_is_refused_with_its_line_and_the_right_one(name: str, tmp_path: Path) -> None:
    """By one letter: always refused, and at least 95 of 100 times with the right hint."""
    path = tmp_path / "r.toml"
    tried = hinted = 0
    for slip in slips(shipped_recipes()[name].read_text()):
        path.write_text(slip.text)
        with pytest.raises(RecipeError) as caught:
            read_recipe(path)
        told = str(caught.value)
        assert f"r.toml:{slip.line}: " in told, (slip.key, told)
        tried += 1
        hinted += f"Did you mean '{slip.key}'" in told

    assert tried > 40
    assert hinted >= 0.95 * tried, f"{hinted} of {tried}"


# --- schema and validate --------------------------------------------------------------------------------


def test_the_schema_in_the_docs_is_current() -> None:
    """`bimedix ls schema > docs/recipe.schema.json` makes it."""
    assert (DOCS / "recipe.schema.json").read_text() == recipe_schema() + "\n"


def test_the_schema_knows_every_key_of_the_shipped_recipes() -> None:
    """Editors that read it underline nothing in them."""
    schema = json.loads((DOCS / "recipe.schema.json").read_text())
    for path in shipped_recipes().values():
        assert list(unknown_keys(tomllib.loads(path.read_text()), schema, path.stem)) == []


def unknown_keys(value: object, schema: dict[str, object], place: str) -> Iterator[str]:
    options = schema.get("anyOf", [schema])
    schema = next((o for o in options if "properties" in o or "items" in o), schema)  # type: ignore[union-attr]
    if isinstance(value, dict) and "properties" in schema:
        for key, part in value.items():
            if key in schema["properties"]:  # type: ignore[operator]
                yield from unknown_keys(part, schema["properties"][key], f"{place}.{key}")  # type: ignore[index]
            else:
                yield f"{place}.{key}"
    if isinstance(value, list):
        for part in value:
            yield from unknown_keys(part, schema.get("items", {}), f"{place}[]")  # type: ignore[arg-type]


def test_every_setting_says_what_it_is() -> None:
    """No field of a room's table is without its line of unit and source."""
    schema = json.loads(recipe_schema())
    bare = [
        f"{room}.{name}"
        for room in ROOMS
        for name, part in schema["properties"][room]["properties"].items()
        if not part.get("description")
    ]

    assert bare == []
    assert all(settings_class(room).__doc__ for room in ROOMS)


def validated(name: str, **variables: str) -> tuple[int, str, str, float]:
    code = (
        "import sys, time; start = time.perf_counter(); sys.argv = ['bimedix', 'validate', sys.argv[1]]\n"
        "from bimedix import cli\n"
        "code = 0\n"
        "try: cli.main()\n"
        "except SystemExit as end: code = end.code or 0\n"
        "heavy = [m for m in ('torch', 'transformers', 'pyarrow') if m in sys.modules]\n"
        "print(heavy, time.perf_counter() - start); sys.exit(code)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OPENAI_API_KEY"} | variables
    done = subprocess.run(
        [sys.executable, "-c", code, name], capture_output=True, text=True, check=False, env=environment
    )
    *out, last = done.stdout.splitlines()
    heavy, seconds = last.rsplit(" ", 1)
    return done.returncode, "\n".join(out), heavy, float(seconds)


def test_validate_tells_what_bimedix_needs_without_torch(tmp_path: Path) -> None:
    """Data, endpoint, trainable parameters and memory by part; exit code 3 while something is missing."""
    code, out, heavy, _ = validated("bimedix_en_ar", BIMEDIX_DATA=str(tmp_path))

    assert (code, heavy) == (3, "[]")
    assert "1,904.2 M of 46,702.8 M parameters = 4.08 % trainable" in out
    assert "memory per GPU 62.5 GB = weights 25.2 + adapters and AdamW 30.5 + activations" in out
    assert out.count("missing  sources") == 10
    assert "missing  translate   completer: key_env = 'OPENAI_API_KEY'" in out
    assert "9 test sets in 18 parts" in out


def test_validate_sees_data_and_keys_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "HealthCareMagic-100k.json").write_text("[]")
    _, out, _, _ = validated("bimedix_en_ar", BIMEDIX_DATA=str(tmp_path), OPENAI_API_KEY="not-a-key")

    assert "ok       sources     healthcaremagic: 1 files" in out
    assert "ok       translate   completer: openai: gpt-3.5-turbo at api.openai.com, at most 1000 USD" in out
    assert "not-a-key" not in out


def test_validate_answers_at_once(tmp_path: Path) -> None:
    """Under half a second on an idle machine; the fastest of three counts."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        validated("bimedix_en_ar", BIMEDIX_DATA=str(tmp_path))
        times.append(time.perf_counter() - started)
        if times[-1] < 0.5:
            break

    assert min(times) < 0.5 or os.getloadavg()[0] > 2


@pytest.mark.slow
def test_the_sample_of_real_records_goes_through(real_data: Path, tmp_path: Path) -> None:
    """Every room, offline, on real files with their traps."""
    done = subprocess.run(
        [sys.executable, "-m", "bimedix", "run", "real_sample", "--out", str(tmp_path / "run"), "-q",
         "--set", "sources.limit=10", "--set", "evaluate.verify=1"],
        capture_output=True, text=True, check=False, timeout=600,
        env=os.environ | {"BIMEDIX_DATA": str(real_data), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "09_report" / "report.html").stat().st_size > 10_000
    assert "needs a password" in (tmp_path / "run" / "02_curate" / "dropped.jsonl").read_text()
