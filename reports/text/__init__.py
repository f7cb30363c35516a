"""Rows as text: the terminal, Markdown, CSV, JSON, LaTeX."""
