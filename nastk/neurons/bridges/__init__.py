"""Neurons of other libraries as neurons of nastk: one file a library, which is imported only when one is built."""
