"""Where and in what order runs are trained: each module is one way, and calls the same runner."""
