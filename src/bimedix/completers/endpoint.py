"""What a completer behind a network is: it sends, and reads what came back, in two steps.

Between the two steps the ledger keeps the bytes, so that a reader that fails, or a better reader next
month, costs no second call.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from msgspec import Struct

from bimedix.completers.base import Reply, Request
from bimedix.errors import BimedixError, UsageError

if TYPE_CHECKING:
    from bimedix.completers.ledger import Ledger

Outcome = Literal["answer", "empty", "wait", "retry", "fail", "stop"]
Billed = Literal["yes", "no", "possibly"]
TOO_FAST = frozenset({429, 503, 529})
"""Statuses that ask for a slower pace."""


class BudgetError(BimedixError):
    """The next call would go over the budget. Exit code 1; what is paid for is kept."""


class EndpointError(BimedixError):
    """The endpoint answers nothing, or asks to wait longer than allowed. Exit code 1."""


class AccessError(UsageError):
    """The endpoint refuses the key, the account or the model. Exit code 2."""


class RawAnswer(Struct, frozen=True):
    """What came over the wire, unread."""

    status: int
    """HTTP status; 0 when no status line came."""
    body: bytes = b""
    content_type: str = ""
    retry_after: str = ""
    request_id: str = ""
    """The provider's own id of the call, for its support desk."""
    error: str = ""
    """What broke the transport; empty when the body is whole."""
    sent: bool = True
    """False: the request never left, so it cannot be billed."""
    adopted: bool = False
    """It answers an earlier attempt of this call, one that a killed run had left at the provider."""
    batch: str = ""
    """Id of the provider's batch that it came in, billed at the batch price; empty: an online call."""


class Reading(Struct, frozen=True):
    """What an answer means for its call."""

    outcome: Outcome
    reply: Reply
    billed: Billed = "yes"
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    usage: Literal["reported", "estimated", ""] = ""


@runtime_checkable
class Endpoint(Protocol):
    """A completer whose calls cost money and can be lost; the runner paces, retries and books them."""

    name: str
    parallel: int
    paced: bool
    """Calls a second matter; False: what is sent is gathered first."""
    tries: int
    """Sends per call before it is given up; waiting on request of the endpoint does not count."""
    backoff_s: float
    """Unit of the waits between tries: full jitter of backoff_s x 2^n, at most 60 s."""
    max_wait_s: float
    """A call that is told to wait longer, at once or summed up, stops the run."""

    async def send(self, request: Request) -> RawAnswer:
        """Make one call; never raises for what the network does."""
        ...

    def read(self, request: Request, raw: RawAnswer) -> Reading:
        """Say what an answer means; pure, so that kept answers can be read again."""
        ...

    def estimate_usd(self, request: Request) -> float | None:
        """Return what one call costs at most; None when the price is not known."""
        ...

    async def complete(self, request: Request) -> Reply:
        """Send and read once."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Bound(Protocol):
    """An endpoint that writes down more than its calls, such as what it has submitted."""

    def bind(self, ledger: "Ledger", say: Callable[[str], None]) -> None:
        """Take the run's ledger, and the function that tells the person at the screen."""
        ...
