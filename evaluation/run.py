"""Every table of figures in the documentation: `make eval`, or `python evaluation/run.py [--data DIRECTORY] [--quick]`.

What needs labelled data takes it from the directory, by default MNEME_BENCH_DATA, and is left out, with a word, where
there is none. The scripts can be run by themselves with other data and more choices: `--help` says which.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

HERE = Path(__file__).parent
# Name, whether it needs data, what is asked of it, and what is asked where it should be quick.
WARM = ["--warmup", "4000", "--rates", "0.02", "--stream-splits", "0"]
SCRIPTS: tuple[tuple[str, bool, list[str], list[str]], ...] = (
    ("guards", True, [], ["--pairs", "500"]),
    ("contrast", True, [], ["--requests", "2000", "--seeds", "2"]),
    ("certificates", True, ["--in-order"], ["--splits", "4", "--stream-splits", "2", "--labels", "1500"]),
    ("certificates", True, [*WARM, "--splits", "40"], [*WARM, "--splits", "2", "--labels", "1500"]),
    ("alarm", False, [], ["--streams", "20", "--clean", "2000"]),
    ("watching", True, [], ["--requests", "1500"]),
    ("eviction", False, [], ["--seeds", "2", "--keys", "500", "--requests", "2000"]),
)


def main() -> int:
    """Run them one after the other; how many failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("MNEME_BENCH_DATA"), help="a directory with labelled data")
    parser.add_argument("--quick", action="store_true", help="few samples: to see that everything runs")
    given = parser.parse_args()
    failed = 0
    for name, needs_data, usual, quick in SCRIPTS:
        print(f"\n# {name}\n", flush=True)
        if needs_data and given.data is None:
            print("left out: it needs labelled data, see --data")
            continue
        takes_data = given.data is not None and name != "alarm"
        options = [*(["--data", given.data] if takes_data else []), *(quick if given.quick else usual)]
        began = perf_counter()
        done = subprocess.run([sys.executable, str(HERE / f"{name}.py"), *options], check=False)  # noqa: S603 -- our own
        failed += done.returncode != 0
        print(f"\n({name}: {perf_counter() - began:.0f} s{', FAILED' if done.returncode else ''})", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
