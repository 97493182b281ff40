"""Plans: predicted memory, exchange and seconds against what is measured."""
