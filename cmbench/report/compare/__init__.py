"""Two sets of results side by side: what has become worse, better, or stayed as it was."""
