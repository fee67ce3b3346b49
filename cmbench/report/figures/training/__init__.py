"""The figures of training runs: what is drawn, as numbers, and apart from it the drawing."""
