"""Reports on a store: rows, text, pictures, a page, the gate. Every number is recomputed from records."""
