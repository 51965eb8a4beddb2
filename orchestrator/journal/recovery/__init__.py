"""Integrity checks and recovery of journals."""
