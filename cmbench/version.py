"""The version of cmbench: below all rooms, since results record it."""

VERSION = "0.1.0"
