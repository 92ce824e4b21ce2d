"""WebSocket sessions: what is kept for each, how bytes leave, and the clock that watches all of them.

No task, timer or subscription belongs to a single session beyond the coroutine in which aiohttp hands over its
frames: an idle device costs memory only."""
