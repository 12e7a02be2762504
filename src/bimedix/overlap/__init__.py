"""Overlap between records: exact repeats, and training records that hold test items."""
