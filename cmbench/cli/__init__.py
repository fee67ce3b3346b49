"""The command line: one module per subcommand that parses, calls and prints."""
