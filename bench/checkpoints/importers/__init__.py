"""Published weights whose file has other names than timm's architectures: where they are, and how they are read."""
