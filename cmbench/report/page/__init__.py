"""The page: all results in one HTML file that opens without a network; a module for each of its parts."""
