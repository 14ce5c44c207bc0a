"""Pictures of cells and curves."""
