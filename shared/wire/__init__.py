"""What clients see: `views` (JSON objects), `frames` (WebSocket), `bodies` (REST requests and answers).

OpenAPI and AsyncAPI documents are generated from these types. Requests forbid unknown fields; times are RFC 3339
in UTC with milliseconds; ids are canonical UUID text; `position` is the only number that means order.
"""
