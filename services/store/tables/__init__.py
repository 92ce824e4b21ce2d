"""Every SQL statement of the store. `load` reads what a batch folds into, `write` writes what it changed, `answer`
answers questions. `copying` is the binary format of COPY, which is three times as fast as rows in statements.

Table names carry no schema: the search path decides whether the live projections are meant or those beside them.
"""
