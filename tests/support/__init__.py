"""What tests of several folders share: small datasets, networks and runs, and ways to start `trm`."""
