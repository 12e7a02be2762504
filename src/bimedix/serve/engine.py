"""The local engine: a model folder, with its adapters, behind the server and the terminal."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bimedix.model.generate import decode_stream, generate_tokens
from bimedix.model.places import find_parts
from bimedix.model.settings import WeightFormat
from bimedix.records import Message


class LocalEngine:
    """Answers with a transformers model on this machine."""

    def __init__(self, folder: Path, template: str = "", weights: WeightFormat = "auto") -> None:
        from bimedix.model.load import load_tokenizer
        from bimedix.model.stream import open_model

        parts = find_parts(folder)
        self.name = folder.name
        self.model: Any = open_model(parts.base, adapter=parts.adapter, weights=weights)
        self.tokenizer: Any = load_tokenizer(parts.base)
        self.template = template or parts.template or "mixtral"

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
