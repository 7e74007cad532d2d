"""Offline metrics, computed over a recommendations table and nothing else, so other libraries' tables count alike."""
