"""Settings of the chat server."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bimedix.model.settings import WeightFormat

LOOPBACK = ("127.0.0.1", "::1", "localhost")
KEY_CHARACTERS = 32
"""Least length of a key that may guard a public address (evaluate-serve.md, section 8)."""


@dataclass(frozen=True)
class Settings:
    """The table [serve]."""

    host: str = "127.0.0.1"
    """Address to bind; anything but loopback needs a key."""
    port: int = 8765
    """TCP port; 0 takes a free one."""
    key_env: str = "BIMEDIX_SERVE_KEY"
    """Environment variable that holds the key; at least 32 characters."""
    max_new_tokens: int = 400
    """Tokens of one answer at most; requests may ask for fewer."""
    max_prompt_tokens: int = 4096
    """Tokens of a conversation at most; older turns are left out first."""
    max_body_bytes: int = 262_144
    """Bytes of a request's body at most (413 above)."""
    max_waiting: int = 8
    """Requests that may wait for the model (429 above)."""
    temperature: float = 0.0
    """0 takes the likeliest token."""
    weights: WeightFormat = "auto"
    """Matrices as stored (`plain`), in four bits (`nf4`), or as the adapters were trained over (`auto`)."""
    region: str = "generic"
    """Region whose emergency number is shown; see safety.toml."""


def check(settings: Settings, base: Path) -> Iterator[tuple[str, str]]:
    """Tell what `bimedix validate` should know."""
    if settings.host not in LOOPBACK:
        yield (
            "warning",
            f"binds {settings.host}: needs a key of {KEY_CHARACTERS} characters in {settings.key_env}",
        )
    else:
        yield "ok", f"binds {settings.host}:{settings.port} only"
