"""Parts of the notebook 04_cultural_market."""
