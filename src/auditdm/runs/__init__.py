"""Where method and backends meet: one module per thing that a user can have done."""
