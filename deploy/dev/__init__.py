"""The embedded stack: nats-server, PostgreSQL and the services on one machine, without containers.

`make run`, `make stop` and the tests stand on this package. It owns everything under `.run/`, only
listens on loopback, and never touches a process that it did not start.
"""
