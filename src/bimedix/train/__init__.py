"""Training: conversations in, adapters (or a whole base) out, with every step on record."""

from bimedix.train.room import run
from bimedix.train.settings import Phase, Settings

__all__ = ["Phase", "Settings", "run"]
