"""The report of a run: one self-contained page, a data card and a model card, all made from its records."""

from pathlib import Path

from bimedix.files import write_text
from bimedix.path import stage_folder
from bimedix.recipe import Recipe
from bimedix.report.cards import data_card, model_card
from bimedix.report.facts import Run
from bimedix.report.sections import report_page


def write_report(recipe: Recipe, run: Path) -> Path:
    """Write `09_report/report.html` and the cards; return the page's path."""
    facts, folder = Run(recipe, run), stage_folder(run, "report")
    write_text(folder / "report.html", report_page(facts))
    if "mix" in facts.ledgers:
        write_text(folder / "DATA_CARD.md", data_card(facts))
    if "train" in facts.ledgers:
        write_text(folder / "MODEL_CARD.md", model_card(facts))
    return folder / "report.html"


__all__ = ["write_report"]
