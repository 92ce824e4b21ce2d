"""The REST API as methods: `conversations` for the daily work, `account` for setting things up."""
