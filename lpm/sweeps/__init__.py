"""Sweeps: one scenario at many values of its parameters, batched, resumable, and the same bits however they are cut."""
