"""Runs and studies to look at: one HTML file of all that they hold, and how far one is that goes on."""
