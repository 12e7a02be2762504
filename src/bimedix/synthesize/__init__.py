"""The room `synthesize`: doctor and patient talks, and rationales, grounded in exam items and checked."""
