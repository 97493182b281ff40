"""Plain loops in numba behind the ops, called from inside compiled steps through XLA's foreign function interface.

`frame` reads what XLA passes, `foreign` registers a loop as something that XLA calls, `program` turns an edge function
into machine code, `trust` decides once per machine whether all this works here. The other files are the ops.
"""
