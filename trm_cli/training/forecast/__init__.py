"""Forecast what a run takes before it begins: time, memory, disk, energy and price.

forecast      what is foreseen of a run, as values; needs no torch
make          decides between the two below, and puts the parts together
probe         times a few updates and evaluated rows of a copy of the run
arithmetic    operations of an update, and the rate of this device at them
"""
