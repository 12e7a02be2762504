"""Tokens of a call: the provider's figures where they are believable, else our own count."""

from typing import Any, Literal

from bimedix.completers.base import Request
from bimedix.tokens import count_tokens

Usage = Literal["reported", "estimated"]
SLACK_TOKENS = 64
"""Chat layout, tool and schema tokens that we do not see."""


def believe_tokens(reported: Any, text: str) -> tuple[int, Usage]:
    """Return the number of tokens of `text` and whose count it is.

    The provider's is taken when it is a whole number, not negative and within 3 x of ours (data.md,
    section 1.4). Ours is made only when the cheap bounds (1 to 8 bytes a token) leave a doubt.
    """
    size = len(text.encode("utf-8", "replace"))
    if isinstance(reported, int) and not isinstance(reported, bool) and reported >= 0:
        if size / 7 - SLACK_TOKENS <= reported <= size / 2 + SLACK_TOKENS:
            return reported, "reported"
        own = count_tokens(text)
        if own / 3 - SLACK_TOKENS <= reported <= own * 3 + SLACK_TOKENS:
            return reported, "reported"
        return own, "estimated"
    return count_tokens(text), "estimated"


def prompt_text(request: Request) -> str:
    """Return all that was sent, for counting."""
    return "\n".join(message.content for message in request.messages)
