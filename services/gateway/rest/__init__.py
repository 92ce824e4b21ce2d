"""REST `/api/v1`: one module a resource, one table of routes, one pipeline from bytes to answer."""
