"""Archetypes as people ask for them: who is asked and what, tables built, shown and checked, agents interviewed."""
