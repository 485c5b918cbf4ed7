"""`vendor`: copies of this package for other trees."""
from __future__ import annotations

import sys

from ..errors import ArgumentError
from .console import check_place, print_json, print_text
from .endings import CHECK_FAILED, PASSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

_NOTES = """\
The copy has the licence, the version and a SHA-256 of every file, and is the same bytes whenever it is made. A copy
that is there is replaced, unless it was changed. --check ends with exit code 1 where a copy is not intact.
"""


def _declare_vendor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dest", metavar="DEST", nargs="?", help="the folder that the copy is put into")
    parser.add_argument("--name", default="interactiveai_eval", help="of the copy (default: interactiveai_eval)")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--zip", dest="kind", action="store_const", const="zip", help="as NAME.zip, a program too")
    kinds.add_argument("--single-file", dest="kind", action="store_const", const="file", help="as one module, NAME.py")
    kinds.add_argument("--check", action="store_true", help="say whether the copy at DEST is intact, and how old it is")
    parser.add_argument("--sbom", metavar="FILE", help="write a CycloneDX document of the package")


def _vendor(options: argparse.Namespace) -> int:
    import json

    from .._atomic import write_atomically
    from .._visible import one_line
    from ..vendoring import check_copy, sbom, write_copy

    if options.dest is None and (options.check or options.sbom is None):
        raise ArgumentError("DEST", options.dest, "name the folder")
    if options.sbom is not None:
        check_place(options.sbom, "--sbom")
    told: dict[str, Any] = {}
    if options.check:
        told = check_copy(options.dest)
    elif options.dest is not None:
        told = check_copy(write_copy(options.dest, name=options.name, kind=options.kind or "folder"))
    if options.sbom is not None:
        write_atomically(options.sbom, [json.dumps(sbom(), indent=1), "\n"])
        told["sbom"] = options.sbom
    if options.json:
        print_json(told)
    elif "path" in told:
        state = f"not intact ({len(told['findings'])} findings)" if told["findings"] else "intact"
        lines = [f"{told['path']}: {told['version'] or 'a copy'}, {state}, {told['age']}"]
        lines += [*told["findings"], *told["unchecked"]]
        print_text("\n".join(map(one_line, lines)), sys.stdout)  # names of files are whatever is there
    return CHECK_FAILED if told.get("findings") else PASSED


COMMANDS = {
    "vendor": (_NOTES, _declare_vendor, _vendor),
}
