"""``python -m components.contract.kernels [ROOT]``: build the compiled loops into an environment."""

import sys

from components.contract.kernels import build

if build(*sys.argv[1:]) is None:
    sys.stderr.write("kernels: no C compiler (cc) is here; NumPy does the same, slower\n")
