"""The pages: one module each, with its templates in `showcase/templates`. See `showcase.registry`."""
