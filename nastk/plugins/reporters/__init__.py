"""Reporters: who hears the events of a run."""
