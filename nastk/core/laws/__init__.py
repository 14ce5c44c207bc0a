"""Floor 3: the laws of each kind of plug-in, one file a kind; anyone can run them on a part of their own."""
