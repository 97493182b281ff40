"""The few hot operations that all dynamics are made of, each with an XLA reference that is its specification."""

from lpm.ops.choice import choose as choose
from lpm.ops.groups import people_of as people_of
from lpm.ops.groups import sum_by_group as sum_by_group
from lpm.ops.groups import total as total
from lpm.ops.hazard import event_threshold as event_threshold
from lpm.ops.hazard import hazard_units as hazard_units
from lpm.ops.matching import match_ties as match_ties
from lpm.ops.neighbours import sum_neighbours as sum_neighbours
from lpm.ops.pairs import match_pairs as match_pairs
from lpm.ops.pick import pick_neighbour as pick_neighbour
from lpm.ops.ranks import rank_in_group as rank_in_group
from lpm.ops.sample import sample_neighbour as sample_neighbour
from lpm.ops.sort import counting_sort as counting_sort
