"""What is not cmbench's own, by its name: `package.module:Name`, `./file.py:Name`, or an installed entry point."""
