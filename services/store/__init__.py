"""The long memory. Owns `truth.events`, `truth.message_ids`, `truth.quarantine` and every table of `projection`.

Reads the whole log; writes PostgreSQL in one transaction a batch, then tells gateways by hints; answers `nd.q.*`.
Nothing is lost when it stops: the log is kept, and the next one goes on from the checkpoint.
"""
