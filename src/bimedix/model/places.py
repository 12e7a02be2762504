"""Where a trained model lies: its base, its adapters, and the chat template it was taught with."""

from pathlib import Path
from typing import NamedTuple

from bimedix.errors import DataError, MissingError
from bimedix.files import read_json

CARD = "adapter.json"
"""Settings of our adapters, and the base they belong to."""
PEFT_CARD = "adapter_config.json"
CHAT = "chat.json"
"""Written by training: the template that the model was taught with."""


class Parts(NamedTuple):
    """What a folder holds."""

    base: str
    """Folder or hub id of the base."""
    adapter: Path | None
    """Folder of adapters, ours or PEFT's."""
    template: str
    """Chat layout, empty when the folder says nothing."""


def find_parts(folder: Path) -> Parts:
    """Return the parts below the folder of a run, of a training stage, of adapters, or of a plain model.

    Raises:
        MissingError: there is no model, or adapters do not say what their base is.
    """
    for place in (folder, *sorted(folder.glob("*_train"))):
        adapter = place / "adapter"
        if (place / "base" / "config.json").exists():
            return Parts(str(place / "base"), adapter if adapter.is_dir() else None, _template(place))
        if (adapter / CARD).exists():
            return Parts(_base_of(adapter / CARD, "base_model"), adapter, _template(place))
    if (folder / "config.json").exists():
        return Parts(str(folder), None, _template(folder))
    for card, key in ((CARD, "base_model"), (PEFT_CARD, "base_model_name_or_path")):
        if (folder / card).exists():
            return Parts(_base_of(folder / card, key), folder, _template(folder))
    raise MissingError(
        f"{folder}: holds no model.\n"
        "  Give the folder of a run (`bimedix run tiny` makes runs/tiny), of a training stage, or of a model."
    )


def _base_of(card: Path, key: str) -> str:
    told = read_json(card)
    base = told.get(key) if isinstance(told, dict) else None
    if not base or not isinstance(base, str):
        raise MissingError(
            f"{card}: does not say which base its adapters belong to.\n"
            f'  Write the base\'s folder or hub id there as "{key}".'
        )
    return base


def _template(place: Path) -> str:
    if not (place / CHAT).exists():
        return ""
    told = read_json(place / CHAT)
    if not isinstance(told, dict) or not isinstance(told.get("template"), str):
        raise DataError(f'{place / CHAT}: holds no "template".')
    return str(told["template"])
