"""Candidate operations of an edge."""
