"""What jobs do: train base networks, prune them, measure, and keep records."""
