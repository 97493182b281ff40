"""Four experiments on how people move an estimate after seeing others': their data, measures and simulation."""
