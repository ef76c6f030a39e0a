"""What make demo and make sandbox show, step by step."""
