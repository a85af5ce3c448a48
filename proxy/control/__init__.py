"""What control does: it watches files and endpoints, posts plans, answers commands, and carries no traffic."""
