"""`python -m mnv1.regression BASE [HEAD] --suite FILE.py`"""

from mnv1.base import console
from mnv1.regression.command import main

if __name__ == "__main__":
    console.run(console.command(failed=2)(main))
