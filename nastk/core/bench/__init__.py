"""Many seeds of strategies, and estimators, in a table of candidates that somebody trained."""
