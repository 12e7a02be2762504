"""How long to wait before asking again."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

MOST_S = 60.0


def retry_after_s(value: str, now: datetime | None = None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, as a number or an HTTP date.

    None when there is none, when it cannot be read, or when it lies in the past or is 0: then the usual
    backoff applies.
    """
    try:
        seconds = float(value)
    except ValueError:
        try:
            then = parsedate_to_datetime(value)
        except (ValueError, TypeError):
            return None
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        seconds = (then - (now or datetime.now(UTC))).total_seconds()
    return seconds if seconds > 0 and math.isfinite(seconds) else None


def backoff_s(unit_s: float, failures: int, draw: Random) -> float:
    """Return a wait with full jitter: uniform between 0 and unit_s x 2^failures, at most 60 s."""
    return draw.uniform(0, min(MOST_S, unit_s * 2 ** min(failures, 16)))
