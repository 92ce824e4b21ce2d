"""The six services. Each is a process of its own; none imports another: they meet in `shared`."""
