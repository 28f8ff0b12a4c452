"""Adapters to clients and frameworks, an extra each. Nothing is imported before it is used."""
