"""Running cells: protect, judge, unlock, score."""
