"""The data of the card: what trains, what settings are chosen by, what is held out."""
