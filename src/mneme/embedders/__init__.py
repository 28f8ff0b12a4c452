"""Embedders: one to start with, and thin wrappers that make others fit.

Importing this imports no model and no library; `LocalEmbedder` loads when it is first asked for.
"""
