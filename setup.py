"""Where the packages of the wheel lie in this repository; all else is in setup.cfg.

`dataset_builders`, `configs` and `pretrained` are folders of their own here. Installed, they are inside `trm_cli`: as
top-level names they would be anybody's, and a working directory with such a folder would shadow them.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["trm_cli", "trm_cli.*"]),
        *(f"trm_cli.{name}" for name in find_packages(include=["dataset_builders", "dataset_builders.*"])),
        "trm_cli._configs",
        "trm_cli._pretrained",
    ],
    package_dir={
        "trm_cli.dataset_builders": "dataset_builders",
        "trm_cli._configs": "configs",
        "trm_cli._pretrained": "pretrained",
    },
)
