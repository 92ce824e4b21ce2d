"""Ten stories of one night and morning, told to the running system while its processes are killed; see `stories`."""
