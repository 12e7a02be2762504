"""Tables of the call ledger, and how a ledger of an earlier time is brought up to date."""

import sqlite3
from pathlib import Path

from bimedix.errors import DataError

SCHEMA = 2
"""2 added `batches`, `strays` and `attempts.batch`."""

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY,
    completer TEXT NOT NULL,
    request TEXT NOT NULL,          -- canonical JSON of what was asked
    state TEXT NOT NULL             -- asked, answered, failed
);
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    run TEXT NOT NULL,
    stage TEXT NOT NULL,
    sent REAL NOT NULL,             -- seconds since 1970: committed before the bytes go out
    ended REAL,
    outcome TEXT,                   -- answer, empty, wait, retry, fail, stop, lost; NULL: in flight or unread
    status INTEGER,                 -- HTTP; 0: none came
    retry_after TEXT,
    request_id TEXT,
    content_type TEXT,
    error TEXT,
    model TEXT,                     -- as reported
    tokens_in INTEGER,
    tokens_out INTEGER,
    tokens_cached INTEGER,
    tokens_reasoning INTEGER,
    usage TEXT,                     -- reported, estimated
    estimate_usd REAL,              -- reserved before sending
    cost_usd REAL,                  -- NULL: price not known
    billed TEXT,                    -- yes, no, possibly
    batch TEXT NOT NULL DEFAULT ''  -- the provider's batch that it came in
);
CREATE TABLE IF NOT EXISTS answers (attempt INTEGER PRIMARY KEY, raw BLOB NOT NULL);  -- as they came
CREATE INDEX IF NOT EXISTS attempts_by_key ON attempts (key);
CREATE INDEX IF NOT EXISTS attempts_unfinished ON attempts (id) WHERE outcome IS NULL;
CREATE TABLE IF NOT EXISTS uses (
    stage TEXT NOT NULL,
    record_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    sample INTEGER NOT NULL,
    key TEXT NOT NULL,
    run TEXT NOT NULL,              -- the first one
    PRIMARY KEY (stage, record_id, purpose, sample, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    part TEXT PRIMARY KEY,          -- our own name for it
    completer TEXT NOT NULL,
    planned REAL NOT NULL,          -- seconds since 1970: committed before anything is uploaded
    state TEXT NOT NULL,            -- planned, submitted, harvested (every call has an answer), refused
    id TEXT NOT NULL,               -- the provider's; empty: not known
    keys TEXT NOT NULL              -- JSON list of call keys, which are the custom ids
);
CREATE TABLE IF NOT EXISTS strays (  -- lines of results that belong to no call of their batch
    batch TEXT NOT NULL,
    custom_id TEXT,
    line BLOB NOT NULL
);
"""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, refuse a newer schema, and mark what a dead process left in flight."""
    has_meta = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
    row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() if has_meta else None
    if row and int(row[0]) > SCHEMA:
        raise DataError(
            f"{path}: a call ledger of schema {row[0]}; this bimedix writes schema {SCHEMA}.\n"
            "  Use the newer bimedix that wrote it, or give this run another folder."
        )
    if row and int(row[0]) < SCHEMA:
        _migrate(connection, path, int(row[0]))
    connection.executescript(_TABLES)
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
    connection.execute(
        "UPDATE attempts SET outcome = 'lost', billed = 'possibly' WHERE outcome IS NULL AND ended IS NULL"
    )
    connection.execute(
        "UPDATE attempts SET outcome = 'retry', billed = 'possibly' WHERE outcome IS NULL AND status = 0"
    )


def _migrate(connection: sqlite3.Connection, path: Path, schema: int) -> None:
    """Bring an older ledger up to date, after a copy of it was put beside it."""
    copy = path.with_name(f"{path.name}.schema{schema}")
    if not copy.exists():
        part = copy.with_name(copy.name + ".part")
        part.unlink(missing_ok=True)
        connection.execute("VACUUM INTO ?", (str(part),))
        part.rename(copy)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ALTER TABLE attempts ADD COLUMN batch TEXT NOT NULL DEFAULT ''")
    connection.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (str(SCHEMA),))
    connection.execute("COMMIT")
