"""The fault campaign: real servers and doubled services, people who write, one fault every few seconds, a checker.

The checker is independent of the services: it imports none of them and none of `shared`. It knows what clients were
told and saw, the log and the tables.
"""
