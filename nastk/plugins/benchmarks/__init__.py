"""Benchmarks: tables of trained candidates."""
