"""The factory of the miniature pack: its generator, training, measurement and model card."""
