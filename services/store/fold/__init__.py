"""The store's decisions, pure: what each event changes in the projections. For any split of a log into batches and
restarts the tables are the same, because an event is judged by what was folded before it and by nothing else.

`needed` says which rows must be in the state before a batch is folded; `fold` then changes the state in place and
collects the rows to write.
"""

from __future__ import annotations

from services.store.fold.changes import Changes, forget
from services.store.fold.dispatch import fold, read_record
from services.store.fold.needs import Needs, needed, stretches
from services.store.fold.records import Broken, Record
from services.store.fold.state import Folded, Owner, State

__all__ = [
    "Broken",
    "Changes",
    "Folded",
    "Needs",
    "Owner",
    "Record",
    "State",
    "fold",
    "forget",
    "needed",
    "read_record",
    "stretches",
]
