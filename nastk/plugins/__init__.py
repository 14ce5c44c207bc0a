"""Everything else that is a plug-in, one folder a kind."""
