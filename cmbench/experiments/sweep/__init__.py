"""What a sweep tries: axes, the spaces that they span, and the suite of one trial."""
