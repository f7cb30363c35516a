"""What several locks share."""
