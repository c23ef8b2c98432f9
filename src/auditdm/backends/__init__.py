"""What satisfies the protocols: pools, models, judges, and the resolver that finds them by name."""
