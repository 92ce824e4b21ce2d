"""What tests of several levels use: real servers, a whole stack of processes."""
