"""Exporters: trained networks as files for other programs."""
