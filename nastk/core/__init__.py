"""The heart: interfaces and loops. Imports none of the folders beside it; see docs/architecture.md for its floors."""
