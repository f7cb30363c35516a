"""Checkpoints that were made elsewhere: reading files, names of weights, architectures, preprocessing, class order."""
