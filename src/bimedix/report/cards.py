"""The data card and the model card in Markdown with YAML front matter, made from a run's records only."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from bimedix.evaluate.table import Accuracy
from bimedix.evaluate.tables import read_table, render
from bimedix.languages import LANGUAGES
from bimedix.report.facts import DECONTAMINATION, Run, held_against

INTENDED_USE = (
    "Research only. Not for clinical decisions, diagnosis or treatment, and not a medical device. "
    "Answers can be wrong or harmful; a health professional has to check them."
)


def data_card(run: Run) -> str:
    """Return the card of the mix: counts, languages, licences, how it was made, what was left out."""
    told = run.json("mix", "statistics.json")
    languages = [row["language"] for row in told["by_language"]]
    head = ("type", "samples", "turns each", "tokens", "characters")
    rows = [
        (
            row.get("type", "total"), row["printed"]["samples"], f"{row['turns_per_sample']:.2f}",
            row["printed"]["tokens"], row["printed"]["characters"],
        )
        for row in (*told["by_type"], told["total"])
    ]  # fmt: skip
    return "\n".join(
        [
            _front(
                language=languages,
                task_categories=["question-answering", "text-generation"],
                tags=["medical", "bimedix"],
                pretty_name=run.recipe.title or run.recipe.name,
                size_categories=[_size(told["total"]["samples"])],
            ),
            f"# {run.recipe.title or run.recipe.name}: training conversations",
            "",
            INTENDED_USE,
            "",
            "## Counts",
            "",
            f"Tokens are those of {told['tokenizer']}; every figure is counted from the records.",
            "",
            _table(head, rows),
            _by_language(told),
            "## Sources and licences",
            "",
            _table(
                ("source", "licence", "samples"),
                [(row["source"], row["licence"], f"{row['samples']:,}") for row in told["licences"]],
            ),
            "## How it was made",
            "",
            *_making(run),
            "",
            "## Held against",
            "",
            *(
                f"- {line}"
                for line in held_against(run.json("mix", DECONTAMINATION), told["near_duplicates"])
            ),
            "",
            "## Left out",
            "",
            _table(("stage", "reason", "records"), _drops(run)),
            _provenance(run),
        ]
    )


def model_card(run: Run) -> str:
    """Return the card of the trained model: data, training, results with intervals, limits."""
    settings, figures = run.recipe.rooms["train"], run.figures("train")
    evaluated = run.json("evaluate", "table.json")
    found = read_table(evaluated) if evaluated else None
    counted = run.json("mix", "statistics.json") or {}
    languages = [row["language"] for row in counted.get("by_language", [])]
    tiny = (
        "**The base is a random Mixtral of a few million parameters, trained in this run on the same "
        "records. It knows nothing but the questions of this run.**\n"
        if settings.base == "tiny"
        else ""
    )
    phases = [
        (
            phase["mode"], phase["steps"], f"{phase['tokens']:,}", f"{phase['trainable_parameters']:,}",
            f"{100 * phase['trainable_share']:.2f} %", f"{phase['loss']:.4f}",
        )
        for phase in figures["phases"]
    ]  # fmt: skip
    adapter = settings.adapter
    name = run.recipe.name
    return "\n".join(
        [
            _front(
                language=languages,
                library_name="bimedix",
                pipeline_tag="text-generation",
                tags=["medical", "mixture-of-experts", "lora"],
                **({} if settings.base == "tiny" else {"base_model": settings.base}),
                **({"model-index": [_index(name, found.accuracies)]} if found else {}),
            ),
            f"# {name}",
            "",
            INTENDED_USE,
            "",
            tiny,
            "## Training",
            "",
            f"Base `{settings.base}`, template `{settings.template}`; adapters of rank {adapter.rank}, alpha "
            f"{adapter.alpha:g} on {', '.join(adapter.targets)}, router {adapter.router}; loss on the "
            "assistant's words only in adapter phases.",
            "",
            _table(("phase", "steps", "tokens", "trainable", "share", "last loss"), phases),
            *(line + "\n" for line in _scorers(run)),
            "## Results",
            "",
            render(found, "markdown") if found else "Not evaluated in this run.",
            "",
            "## Limits",
            "",
            "Hallucination, outdated or biased content and unsafe advice are possible in every language. "
            "Figures above hold for the test sets and the protocol named there and for nothing else.",
            _provenance(run),
        ]
    )


def _front(**fields: Any) -> str:
    """Return the YAML front matter; values are JSON, which is YAML too."""
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
    return "---\n" + "\n".join(lines) + "\n---\n"


def _index(name: str, rows: Iterable[Accuracy]) -> dict[str, Any]:
    return {
        "name": name,
        "results": [
            {
                "task": {"type": "question-answering"},
                "dataset": {"name": f"{row.benchmark} ({row.language})", "type": row.benchmark},
                "metrics": [
                    {
                        "type": "accuracy",
                        "value": round(row.accuracy, 4),
                        "name": f"{row.protocol}, {row.model}, n = {row.items}, "
                        f"interval {row.low:.3f} to {row.high:.3f}",
                    }
                ],
            }
            for row in rows
        ],
    }


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(v).replace("|", "\\|") for v in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _by_language(told: dict[str, Any]) -> str:
    rows = [
        (LANGUAGES[row["language"]].name if row["language"] in LANGUAGES else row["language"],
         row["printed"]["samples"], row["printed"]["tokens"], f"{100 * row['share_of_samples']:.1f} %",
         f"{100 * row['share_of_tokens']:.1f} %")
        for row in told["by_language"]
    ]  # fmt: skip
    return _table(("language", "samples", "tokens", "share of samples", "share of tokens"), rows)


def _making(run: Run) -> list[str]:
    out = []
    for room, ledger in run.ledgers.items():
        told = ledger["summary"]
        dropped = sum(told["dropped"].values())
        out.append(f"- `{room}`: {told['read']:,} read, {told['written']:,} written, {dropped:,} dropped")
    translate = run.recipe.rooms.get("translate")
    if translate is not None:
        completer = translate.completer
        out.append(
            f"- Translation by `{completer.kind}` {completer.model}; accepted from score "
            f"{translate.threshold:g} without a failed integrity check."
        )
        out += [f"- {line}" for line in _scorers(run)]
    return out


def _scorers(run: Run) -> list[str]:
    """Name the scorer beside the judge, with the licence under which it may be used."""
    outside = run.figures("translate").get("outside")
    if not outside:
        return []
    return [
        f"Translations were also scored by `{outside['scorer']}`, whose licence is {outside['licence']}; "
        f"{outside['sent_to_review']:,} were sent to review by it."
    ]


def _drops(run: Run) -> list[tuple[str, str, int]]:
    return [
        (room, reason, count)
        for room, ledger in run.ledgers.items()
        for reason, count in ledger["summary"]["dropped"].items()
    ]


def _provenance(run: Run) -> str:
    ledger = next(reversed(run.ledgers.values()))
    return (
        f"\n---\nMade by bimedix {ledger['code']} at {ledger['revision'][:12]}, recipe `{run.recipe.name}` "
        f"({ledger['recipe']['hash'][:12]}), seed {run.recipe.seed}. Generated from the run's records.\n"
    )


def _size(samples: int) -> str:
    bounds = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    names = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>10M")
    return names[sum(samples >= bound for bound in bounds)]
