"""Table rows from records: joined, averaged over seeds, with controls and intervals."""
