"""What several locks share; a lock of another project may import it as well."""
