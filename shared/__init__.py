"""The library that all six services stand on: events, wire types, bus, database, crypto, runtime."""
