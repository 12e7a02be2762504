"""Weights, blocks, adapters: mixture-of-experts models of the Mixtral shape, and dense ones.

`settings` and `arithmetic` need no torch; the other modules do and are imported when they are used.
"""
