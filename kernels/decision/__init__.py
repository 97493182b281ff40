"""Kernels of decision: what an agent does of what it could do."""
