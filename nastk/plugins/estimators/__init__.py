"""Estimators: costs and scores of a genotype without training it."""
