"""Floor 1: data sets, augmentation, and the task that keeps the test data out of the search."""
