"""What is run now and then rather than in every process: calibrating a threshold, moving to another embedder."""
