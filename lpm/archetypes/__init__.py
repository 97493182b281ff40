"""Archetypes: groups of people alike, and how a language model, a table or a rule says that each of them acts."""
