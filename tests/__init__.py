"""The tests of the package; run them with `python -m pytest` from the repository's root.

They say `interactiveai_eval`. With `TESTED_AS=a.b.copy` in the environment that name stands for the package which is
importable as `a.b.copy`, so that the same tests judge a copy; what starts programs is then to be left out
(`-m "not processes"`).
"""
import os

if os.environ.get("TESTED_AS"):
    from .tested_as import stand_in

    stand_in("interactiveai_eval", os.environ["TESTED_AS"])
