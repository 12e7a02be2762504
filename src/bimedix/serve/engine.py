"""The local engine: a model folder, with its adapters, behind the server and the terminal."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bimedix.errors import MissingError
from bimedix.files import read_json
from bimedix.model.generate import decode_stream, generate_tokens
from bimedix.records import Message

CHAT = "chat.json"
"""Written by training: the template that the model was taught with."""


def find_parts(folder: Path) -> tuple[Path, Path | None]:
    """Return (base, adapter) below the folder of a run, of a training stage, or of a plain model.

    Raises:
        MissingError: there is no model.
    """
    for place in (folder, *sorted(folder.glob("*_train"))):
        if (place / "base" / "config.json").exists():
            adapter = place / "adapter"
            return place / "base", adapter if adapter.is_dir() else None
    if (folder / "config.json").exists():
        return folder, None
    raise MissingError(
        f"{folder}: holds no model.\n"
        "  Give the folder of a run (`bimedix run tiny` makes runs/tiny), of a training stage, or of a model."
    )


class LocalEngine:
    """Answers with a transformers model on this machine."""

    def __init__(self, folder: Path, template: str = "") -> None:
        from bimedix.model.adapters import load_adapter
        from bimedix.model.load import load_model, load_tokenizer

        base, adapter = find_parts(folder)
        self.name = folder.name
        self.model: Any = load_model(base)
        self.tokenizer: Any = load_tokenizer(base)
        told = base.parent / CHAT
        self.template = template or (read_json(told)["template"] if told.exists() else "mixtral")
        if adapter is not None:
            load_adapter(self.model, adapter)
        self.model.eval()

    def _prompt(self, messages: tuple[Message, ...]) -> list[int]:
        from bimedix.prompts.chat import encode_prompt

        return encode_prompt(messages, self.tokenizer, self.template)

    def count_prompt_tokens(self, messages: tuple[Message, ...]) -> int:
        """Return the tokens of the laid out conversation; of bare replies, the tokens of their text."""
        from bimedix.prompts.chat import encode_reply

        if messages[-1].role == "assistant":
            return len(encode_reply(messages[-1].content, self.tokenizer))
        return len(self._prompt(messages))

    def stream(
        self, messages: tuple[Message, ...], *, max_new_tokens: int, temperature: float, seed: int,
        stop: threading.Event,
    ) -> Iterator[str]:  # fmt: skip
        """Yield pieces of the answer."""
        from bimedix.prompts.chat import encoder

        tokens = generate_tokens(
            self.model,
            self._prompt(messages),
            max_new_tokens=max_new_tokens,
            stop_ids=frozenset({encoder(self.tokenizer).end_id}),
            temperature=temperature,
            seed=seed,
            stop=stop,
        )
        yield from decode_stream(tokens, self.tokenizer)
