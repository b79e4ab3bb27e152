"""The CI workflow that ``mhsa init`` writes: it installs the mhsa that wrote it, or fails until a version is stated."""

from __future__ import annotations

import json
import re

from mhsa.bench.compare.pull_request.marker import MARKER
from mhsa.commands.init_files.template import template
from mhsa.records.distribution import NAME, Origin

_STEP = re.compile(r" *- name: Install mhsa\n(?:.+\n)+?(?= *- name: Keep)")
_UNKNOWN = f"MHSA_INSTALL is empty: fill in, in this workflow, what pip installs: {NAME} @ git+https://HOST/OWNER/NAME@COMMIT"
_GUARD = f"""\
          if [ -z "$MHSA_INSTALL" ]; then
            echo "::error::{_UNKNOWN}"
            exit 1
          fi
"""


def workflow(install: str, origin: Origin) -> str:
    """Return the text of the workflow.

    Args:
        install: the command that installs the user's project.
        origin: where the mhsa came from that the workflow is to install.
    """
    requirement = origin.requirement
    guard = "" if requirement else _GUARD
    return template(
        "workflow.yml",
        INSTALL=f"          {install}\n",
        NIGHTLY=f"          #{install}\n",
        REQUIREMENT=json.dumps(requirement, ensure_ascii=False),
        WHY="pinned, since a later one may find more" if requirement else "fill this in: it was installed from a folder here",
        GUARD=guard,
        MARKER=MARKER,
        NIGHTLY_GUARD=re.sub(r"(?m)^( +)", r"\1#", guard),
    )


def steps(text: str) -> str:
    """Return the steps of a workflow that install mhsa, verify and test: what a workflow of the user's own lacks."""
    found = _STEP.search(text)
    assert found is not None, "the template has no such steps"
    (requirement,) = re.findall(r"(?m)^  MHSA_INSTALL: (.*?)(?:  #.*)?$", text)
    env = f"        env:\n          MHSA_INSTALL: {requirement}\n"
    name, _, rest = found[0].partition("\n")
    return f"{name}\n{env}{rest}"
