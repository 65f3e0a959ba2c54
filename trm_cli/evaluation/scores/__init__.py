"""Score answers: accuracy, confidence intervals, ARC votes, calibration, difficulty.

May import data. Arrays in, numbers out.
"""
