"""Stories of a night and the day after it, told to the running system while its processes are killed; see `stories`."""
