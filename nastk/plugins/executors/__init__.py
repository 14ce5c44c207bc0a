"""Executors: who runs trials."""
