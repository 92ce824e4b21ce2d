"""The `nightdesk` command: what an operator types. Speaks to the services only by the documented ways."""
