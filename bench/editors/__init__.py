"""Text-guided image editing: what an edit is (`settings`), the engine that runs it, and its cache on disk."""
