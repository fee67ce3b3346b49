"""What the paper says, as data: the numbers in its tables, and its claims about the order of optimizers."""
