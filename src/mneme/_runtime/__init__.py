"""What the flows stand on: how they run, wait and lock on either face, and what is remembered in memory."""
