"""A local transformers model as a completer: greedy, or sampled from a seed."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bimedix.completers.base import Reply, Request
from bimedix.completers.key import call_key
from bimedix.errors import MissingError
from bimedix.records import Message

LayOut = Callable[[tuple[Message, ...]], str]
"""Turns messages into the prompt text of the model, up to where its answer starts."""


class LocalCompleter:
    """Answers with a causal language model from a folder; one request at a time."""

    parallel = 1

    def __init__(
        self, folder: Path, *, lay_out: LayOut | None = None, seed: int = 17, device: str = "cpu"
    ) -> None:
        if not (folder / "config.json").exists():
            raise MissingError(f"{folder}: no config.json there.\n  Name the folder of a transformers model.")
        self.folder, self.seed, self.device = folder, seed, device
        self.name = f"local:{folder.name}@{_folder_hash(folder)}+seed{seed}"
        self._lay_out = lay_out
        self._model: Any = None
        self._tokenizer: Any = None

    async def complete(self, request: Request) -> Reply:
        """Generate in a thread, so that the loop goes on."""
        return await asyncio.to_thread(self._generate, request)

    async def close(self) -> None:
        """Let go of the model; the next request loads it again."""
        self._model = self._tokenizer = None

    def _load(self) -> None:
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise MissingError(
                "a local model needs torch and transformers.\n  Run `pip install 'bimedix[train]'`."
            ) from error
        self._tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(
            self.folder, local_files_only=True, use_safetensors=True, dtype="auto"
        )
        self._model = model.to(torch.device(self.device)).eval()

    def _generate(self, request: Request) -> Reply:
        if self._model is None:
            self._load()
        import torch

        prompt = self._prompt(request.messages)
        ids = self._tokenizer(prompt, return_tensors="pt", add_special_tokens=self._lay_out is not None)
        ids = {name: tensor.to(self.device) for name, tensor in ids.items()}
        length = ids["input_ids"].shape[1]
        sampled = request.temperature > 0
        how = {"do_sample": True, "temperature": request.temperature} if sampled else {"do_sample": False}
        torch.manual_seed(self._draw(request))
        with torch.inference_mode():
            out = self._model.generate(**ids, max_new_tokens=request.max_new_tokens, **how)[0][length:]
        ended = bool(len(out)) and int(out[-1]) in self._end_tokens()
        text = self._tokenizer.decode(out, skip_special_tokens=True).strip()
        finish: Any = "stop" if ended or len(out) < request.max_new_tokens else "length"
        return Reply(text, model=self.name, finish=finish, tokens_in=length, tokens_out=len(out))

    def _prompt(self, messages: tuple[Message, ...]) -> str:
        if self._lay_out:
            return self._lay_out(messages)
        if not self._tokenizer.chat_template:
            raise MissingError(f"{self.folder}: its tokenizer has no chat template; give `lay_out`.")
        turns = [{"role": message.role, "content": message.content} for message in messages]
        prompt: str = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return prompt

    def _draw(self, request: Request) -> int:
        """Return the seed of a request: the same call gives the same answer, whatever came before it."""
        digest = hashlib.blake2b(f"{self.seed}:{call_key(request, self.name)}".encode(), digest_size=6)
        return int.from_bytes(digest.digest(), "big")

    def _end_tokens(self) -> set[int]:
        ends = self._model.generation_config.eos_token_id
        return set(ends) if isinstance(ends, list) else {ends}


def _folder_hash(folder: Path) -> str:
    """Return 16 hex digits of names, sizes and ends of the files: quick, other for another model."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 16))
            file.seek(max(0, size - (1 << 16)))
            digest.update(file.read(1 << 16))
    return digest.hexdigest()
