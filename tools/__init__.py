"""What the makers of the course use, and its students need not."""
