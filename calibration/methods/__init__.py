"""Methods of a fit: how the nearest parameters are found, and the weights that say what near is."""
