"""The contract of a kernel, on every one that is registered."""
