"""What scripts/bench is made of: servers, pushes, measurements, and the report."""
