"""How it is trained: the loop, schedules and checkpoints."""
