"""Whether the paper's claims come out: the rule, the evidence that results hold, and the verdicts."""
