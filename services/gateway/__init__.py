"""gateway: the only door. REST, WebSocket, health.

Owns: sessions, tokens, the readable side of texts, the appending of messages, receipts, conversations and accounts.
Reads: the `account` family, the store's answers and hints, keys and credentials in PostgreSQL.
Writes: the families message, receipt, conversation and (fenced) account; beats to presence.
Lost when it stops: nothing that was answered "ok"; open sessions come back elsewhere with their cursors.
"""
