"""Planning: what a scenario needs at a size and on devices that need not be at hand.

It is built and timed at small sizes; what those show is scaled with what the traced program and the machine's memory
say.
"""
