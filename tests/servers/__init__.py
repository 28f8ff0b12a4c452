"""The servers that the tests need: a module each, with `serving(directory)`, a context manager that yields an address.

`directory` is made by it, and everything the server writes goes there. A server that cannot start raises, and says why:
the tests of a store are never skipped.
"""
