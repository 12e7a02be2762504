"""Settings of the room `synthesize`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bimedix.completers.settings import CompleterSettings, files_of
from bimedix.completers.settings import check as check_completer
from bimedix.errors import RecipeError

KINDS = ("dialogue", "rationale")


@dataclass(frozen=True)
class Settings:
    """One table `[synthesize]` of a recipe."""

    kinds: tuple[str, ...] = ("dialogue",)
    """What to make: `dialogue` (BiMediX, section 3.1.1), `rationale`, or both."""
    share: float = 1.0
    """Share of the items that are taken, 0 to 1, drawn by (seed, id)."""
    count: int = 0
    """Number of items taken, in place of a share; 0: go by the share."""
    splits: tuple[str, ...] = ("train",)
    """Splits of the source that may be used; "" for records whose source names none."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 of the items that may be used; empty: all."""
    datasets: tuple[str, ...] = ()
    """Data sets whose items may be used, such as pubmedqa, medqa, medmcqa (BiMediX); empty: all."""
    tries: int = 4
    """Dialogues made at most per item until one is accepted. Source: data.md, section 3 (8 in
    FullyOpenMeditron)."""
    exchanges: tuple[int, ...] = (3, 4, 5, 6, 7)
    """Lengths that are aimed at, in exchanges (a turn of the patient and one of the doctor)."""
    exchange_shares: tuple[float, ...] = (0.15, 0.30, 0.30, 0.18, 0.07)
    """How often each of them; their mean is 4.72, the paper's average of turns (BiMediX, Fig. 3)."""
    exchange_tolerance: int = 2
    """Exchanges by which a dialogue may miss its aim."""
    turn_characters: int = 1_500
    """A longer turn is rejected."""
    conclusion_check: bool = True
    """Ask also what the doctor's last turn alone comes to; both answers have to be the gold one."""
    same_opening: int = 5
    """Dialogues that may open with the same eight words; more are dropped."""
    temperature: float = 0.7
    """Of dialogues and rationales, in place of the completer's: at 0 every try would give the same text.
    Source: FullyOpenMeditron's vignettes."""
    completer: CompleterSettings = field(default_factory=CompleterSettings)
    """Who writes, and, unless `checker` is set, reads what was written."""
    checker: CompleterSettings | None = None
    """Who reads a dialogue or rationale and names the answer it comes to."""

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        _require(not unknown, f"kinds = {list(self.kinds)}; known are {', '.join(KINDS)}.")
        _require(0 <= self.share <= 1, f"share = {self.share}; a share is 0 to 1.")
        _require(self.tries >= 1, f"tries = {self.tries}; at least 1.")
        same = len(self.exchanges) == len(self.exchange_shares) > 0
        _require(same, "exchanges and exchange_shares need the same number of values.")
        total = sum(self.exchange_shares)
        _require(abs(total - 1) < 1e-6, f"exchange_shares add up to {total:.3f}; they need to add up to 1.")


def input_files(settings: Settings, base: Path) -> list[Path]:
    """Return the files that these settings name."""
    return [base / name for name in (*files_of(settings.completer), *files_of(settings.checker))]


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecipeError(f"[synthesize] {message}")


def check(settings: Settings, base: Path) -> Iterator[tuple[str, str]]:
    """Tell who writes and who checks."""
    for role, completer in (("completer", settings.completer), ("checker", settings.checker)):
        if completer is not None:
            yield from ((level, f"{role}: {text}") for level, text in check_completer(completer, base))
