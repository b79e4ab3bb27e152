"""``mhsa diagnose``: one subject, what fails, and why."""

from __future__ import annotations

import argparse

from mhsa.commands.verify import configured, folder_of_cases, judge, options_of


def diagnose(given: argparse.Namespace) -> int:
    """Judge one subject and tell what is wrong with it."""
    from mhsa.records.results import exit_code
    from mhsa.reports.diagnose import print_story
    from mhsa.reports.write import report, require_places

    require_places(given)
    configuration = configured(given)
    options = options_of(given, configuration)
    found = judge(given, options, diagnosis=True, picture=True)
    (result,) = found.results
    request = result.as_judged(options.asked[0])
    code = exit_code(found.results)
    report(given, found, folder_of_cases(given, configuration), [request], code)
    print_story(found.console, result, found.diagnoses.get(result.label), request, found.known)
    return code
