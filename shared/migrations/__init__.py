"""Numbered SQL files, applied in order of their names by `shared.database.migrate`, each once and never edited after."""
