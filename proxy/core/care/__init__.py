"""What keeps a backend from being asked too much, or in vain: health, breakers, queues, budgets, caps."""
