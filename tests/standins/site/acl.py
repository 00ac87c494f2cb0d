"""Makes ``import acl`` give the stand-in in a process of its own: put this folder on PYTHONPATH.

The repository must be there too, or be named in STANDINS_ROOT: then it comes last, behind the code under test.
"""

import os
import sys

sys.path += [os.environ["STANDINS_ROOT"]] if "STANDINS_ROOT" in os.environ else []

from tests.standins import acl

sys.modules[__name__] = acl
