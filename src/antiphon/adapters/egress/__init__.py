"""The one door out (law 9): which addresses may be reached, and how they are."""
