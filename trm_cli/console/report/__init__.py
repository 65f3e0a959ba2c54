"""Pictures and pages: the HTML report of a run, plan figures, sample and capsule sheets.

matplotlib and Pillow are imported inside the functions that draw.
"""
