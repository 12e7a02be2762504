"""What people made in the folder of a stage is kept: a stage that is redone is set aside with their work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bimedix.files import hash_file, read_json

LEDGER = "ledger.json"
OWN = frozenset({LEDGER, "begun.json"})


def set_aside(folder: Path) -> Path | None:
    """Move a finished stage that somebody has worked in to `NAME.1`, `NAME.2`, ...; None when nobody has."""
    if not folder.is_dir() or not any(changed_by_hand(folder)):
        return None
    number = 1 + max((int(path.suffix[1:]) for path in earlier(folder)), default=0)
    target = folder.with_name(f"{folder.name}.{number}")
    folder.rename(target)
    return target


def earlier(folder: Path) -> list[Path]:
    """Return the folders that were set aside, the newest first."""
    found = [path for path in folder.parent.glob(f"{folder.name}.*") if path.suffix[1:].isdecimal()]
    return sorted(found, key=lambda path: -int(path.suffix[1:]))


def changed_by_hand(folder: Path) -> Iterator[Path]:
    """Yield the files of a finished stage that were added or changed since; the same bytes are no change."""
    ledger = folder / LEDGER
    if not ledger.exists():
        return
    outputs: dict[str, Any] = read_json(ledger)["outputs"]
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in OWN):
        told = outputs.get(path.relative_to(folder).as_posix())
        if told is None or path.stat().st_size != told["bytes"] or hash_file(path) != told["hash"]:
            yield path


def find_earlier(path: Path, folder: Path) -> Path | None:
    """Return a file or folder that is no longer in a stage's folder, from where it was set aside."""
    if not path.is_relative_to(folder):
        return None
    places = (kept / path.relative_to(folder) for kept in earlier(folder))
    return next((place for place in places if place.exists()), None)
