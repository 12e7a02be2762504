"""The room `translate`: translate, check, judge, revise; everything that happened stays in the record."""
