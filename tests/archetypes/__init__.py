"""Tests of archetypes: questions and answers of language models, tables, groups of people."""
