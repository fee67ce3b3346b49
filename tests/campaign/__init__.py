"""Attacks on everything that must not be lost: `python -m tests.campaign`; their table is docs/campaign.md."""
