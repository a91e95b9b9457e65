"""Prints constraints that pin the dependencies of a running package to the lower bounds of setup.cfg."""

from __future__ import annotations

import re
import sys
from configparser import ConfigParser
from pathlib import Path


def lower_bounds(setup_cfg: Path) -> dict[str, str]:
    """Read the lower bounds of the dependencies and of the extra `local`."""
    config = ConfigParser()
    config.read(setup_cfg)
    texts = [config["options"]["install_requires"], config["options.extras_require"]["local"]]
    return dict(re.findall(r"^([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", "\n".join(texts), re.MULTILINE))


if __name__ == "__main__":
    for name, bound in lower_bounds(Path(sys.argv[1])).items():
        print(f"{name}=={bound}")
    print("numpy<2")  # pyarrow 16.0 was built before NumPy 2
