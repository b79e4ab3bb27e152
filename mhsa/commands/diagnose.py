"""``mhsa diagnose``: one subject, what fails, and why."""

from __future__ import annotations

from mhsa.commands.frame import frame
from mhsa.commands.options.verify import DiagnoseArguments
from mhsa.commands.verify import configured, folder_of_cases, judge, options_of


def diagnose(args: DiagnoseArguments) -> int:
    """Judge one subject and explain what is wrong with it."""
    from mhsa.records.results import exit_code
    from mhsa.reports.diagnose_output import print_story
    from mhsa.reports.write import report

    with frame(args.files, no_color=args.no_color) as out:
        configuration = configured(args.config)
        options = options_of(args, [args.subject], configuration)
        found = judge(out, options, diagnosis=True, picture=True)
        (result,) = found.results
        request = result.as_judged(options.requests[0])
        code = exit_code(found.results)
        report(out.files, found, folder_of_cases(args.cases, configuration), [request], code, github=args.github)
    print_story(found.console, result, found.diagnoses.get(result.label), request, found.known)
    return code
