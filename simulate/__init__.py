"""Whole weeks of a help desk in seconds: a seeded simulator with a virtual clock and a log in memory.

It drives the real decisions (presence, dispatcher, the store's fold) and nothing of their edges, and judges every
step by `ledger` and `rules`, which are written apart from them. A seed is a week; the same seed is the same week.
"""
