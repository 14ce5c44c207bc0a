"""Floors 1 and 2: the parts of a network and the network itself."""
