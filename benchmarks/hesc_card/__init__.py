"""The benchmark card of multimodal_hesc: its rows beside baselines on the same bytes, cells and pictures.

`families` are the twenty families of grid tasks, fixed before anything is measured; `first_rows` the five of the first
rows; `write_tasks` writes either in Kaggle's ARC layout, which `trm build-dataset` reads.
"""
